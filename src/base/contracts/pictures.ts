/** What a model that makes pictures is asked, and what it gives. Types only. */

export interface PictureRequest {
  /** Unique; names the work in logs and cancels it. */
  id: string;
  count: number;
  /** Of the first picture; the others have the numbers after it. */
  seed: number;
  /** Classes by number, taken in turn; left out, all classes take turns. */
  labels?: readonly number[];
  /** 1 for the whole variety. */
  truncation?: number;
  /** StyleGAN: the later layers take the styles of this seed. */
  mix?: { seed: number; layer: number };
  /** Diffusion: how strongly the label counts, and how many denoising steps are done. */
  guidance?: number;
  steps?: number;
  /** Diffusion: a picture's file in base64 to start from, how much of it may change, and a mask: white where it is made anew. */
  from?: string;
  mask?: string;
  strength?: number;
  format: 'png' | 'webp' | 'jpeg' | 'avif';
  /** Pixels a side; left out, as made. */
  size?: number;
}

export interface PictureFile {
  /** The file, in base64. */
  data: string;
  mediaType: string;
  seed: number;
  /** Name of its class. */
  label?: string;
}

export interface PictureSource {
  /** @throws InkstoneError `label_unknown`, `picture_invalid`, `unsupported_setting`, `cancelled` */
  pictures(request: PictureRequest, signal: AbortSignal): Promise<PictureFile[]>;
}

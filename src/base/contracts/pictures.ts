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
  /** Diffusion: how strongly the label counts, how many denoising steps are done, how much noise is fresh in each. */
  guidance?: number;
  steps?: number;
  eta?: number;
  /** Diffusion: a picture's file in base64 to start from, how much of it may change, and a mask: white where it is made anew. */
  from?: string;
  mask?: string;
  strength?: number;
  format: 'png' | 'webp' | 'jpeg' | 'avif';
  /** Pixels a side; left out, as made. */
  size?: number;
  /** How many times larger they are made by a convolution before they are brought to `size`; not on a way. */
  upscale?: number;
  /** In place of `count` pictures: the way from each seed's picture to the next one's, and back to the first. */
  way?: PictureWay;
}

export interface PictureWay {
  seeds: readonly number[];
  /** Pictures a stretch. */
  frames: number;
  /** One file with all of them; left out, every picture is a file of its own. */
  animation?: 'webp' | 'gif';
  /** Of an animation: milliseconds a picture. */
  delay?: number;
}

/** What can be asked of a model of pictures. */
export interface PictureTraits {
  architecture: string;
  /** Pixels a side, as made. */
  size: number;
  /** 1 for grey, 3 for colour. */
  channels: number;
  /** Names of its classes, in order; empty for a model without. */
  classes: readonly string[];
  /** Layers that take styles; 0 where there is nothing to mix. */
  styles: number;
  /** Whether there is a way between two pictures. */
  between: boolean;
  /** Whether it can start from a picture; and the most denoising steps, 0 where it makes none. */
  edits: boolean;
  steps: number;
  /** Whether a mask can say which pixels change. */
  masks: boolean;
  /** For one's own pictures: layers that can be frozen, those of them that are best kept, whether pictures can be augmented. */
  tuning: { layers: readonly string[]; early: readonly string[]; augments: boolean };
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

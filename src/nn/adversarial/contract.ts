/**
 * What a pair of networks that play against each other is: a generator and a critic, each its parameters and its
 * network written once. Types only; knows no architecture, no loss and no data.
 */
import type { HostTensors } from '../../base/tensor.ts';
import type { Tensor, TensorType } from '../../program/index.ts';
import type { ParameterSpec } from '../parameters.ts';

export type Tensors = Readonly<Record<string, Tensor>>;
export type Types = Readonly<Record<string, TensorType>>;

/** What a critic may look at beside the picture. */
export interface Conditions {
  /** `[batch] i32` */
  labels?: Tensor | undefined;
  /** Diffusion steps that were done to the picture, `[batch] i32` (Wang et al. 2022). */
  times?: Tensor | undefined;
  /** Equal batches that stand one after the other, as real and made pictures do: no statistic mixes them. Default 1. */
  batches?: number | undefined;
}

/** A stream of random numbers that is quick in bulk. */
export interface Draw {
  uniform(): number;
  normal(): number;
  normals(size: number): Float32Array<ArrayBuffer>;
}

export interface GeneratorNetwork {
  /** Names begin with `generator.`. */
  specs: readonly ParameterSpec[];
  /** Latents, noise and labels that make `batch` pictures. */
  inputs(batch: number): Types;
  /** Values for all of them but the labels, as they are drawn in training. */
  draw(random: Draw, batch: number): HostTensors;
  /** `[batch, layers, width]`: what the pictures are made from; absent where the latents are all there is. */
  styles?(x: Tensors): Tensor;
  /**
   * `[batch, channels, size, size]`, about −1 … 1; `styles` as given, or made from the latents. Where there are no styles, a
   * scalar `truncation` among `x` scales what the first layer makes of the latents; without it nothing is done to them.
   */
  images(x: Tensors, styles?: Tensor): Tensor;
}

export interface CriticNetwork {
  /** Names begin with `critic.`. */
  specs: readonly ParameterSpec[];
  /** `[batch]`: high for what looks real. Groups for minibatch statistics are neighbours in the batch. */
  score(x: Tensors, images: Tensor, conditions: Conditions): Tensor;
}

/** Done to every picture that the critic sees, real or made; differentiable. */
export interface Perturbation {
  /** Random numbers for `batch` pictures, drawn by the host; names begin with `perturb.`. */
  inputs(batch: number): Types;
  /** @param strength 0 … 1 */
  draw(random: Draw, batch: number, strength: number): HostTensors;
  apply(x: Tensors, images: Tensor): { images: Tensor; times?: Tensor | undefined };
}

export interface AdversarialModel {
  generator: GeneratorNetwork;
  critic: CriticNetwork;
  perturbation?: Perturbation | undefined;
  /** `[channels, size, size]` of a picture. */
  shape: readonly [number, number, number];
  /** 0 for pictures without labels. */
  classes: number;
}

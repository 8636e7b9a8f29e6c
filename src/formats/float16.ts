/** Half-precision and bfloat16 bits to float32 and back (IEEE 754; ties to even). */

const floats = new Float32Array(1);
const bits = new Uint32Array(floats.buffer);

/** @param half 16 bits */
export function fromHalf(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0) return (sign !== 0 ? -1 : 1) * fraction * 2 ** -24;
  bits[0] =
    exponent === 31
      ? sign | 0x7f800000 | (fraction << 13)
      : sign | ((exponent + 112) << 23) | (fraction << 13);
  return floats[0] as number;
}

export function toHalf(value: number): number {
  floats[0] = value;
  const word = bits[0] as number;
  const sign = (word >>> 16) & 0x8000;
  const magnitude = word & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude < 0x38800000) {
    // Subnormal: the value in units of 2^-24, rounded to even.
    const units = Math.abs(floats[0] as number) * 2 ** 24;
    const low = Math.floor(units);
    const rest = units - low;
    return sign | (rest > 0.5 || (rest === 0.5 && low % 2 === 1) ? low + 1 : low);
  }
  const rounded = magnitude + 0xfff + ((magnitude >>> 13) & 1);
  return sign | ((rounded - 0x38000000) >>> 13);
}

export function halvesToFloats(halves: Uint16Array): Float32Array<ArrayBuffer> {
  return Float32Array.from(halves, fromHalf);
}

export function floatsToHalves(values: ArrayLike<number>): Uint16Array<ArrayBuffer> {
  return Uint16Array.from(values, toHalf);
}

/** bfloat16 is the upper half of a float32. */
export function brainToFloats(brains: Uint16Array): Float32Array<ArrayBuffer> {
  return new Float32Array(Uint32Array.from(brains, (b) => b << 16).buffer);
}

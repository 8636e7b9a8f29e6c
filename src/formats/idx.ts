/** IDX files (LeCun's format of MNIST): a magic number with type and rank, the sizes, the values. Knows no pictures. */
import { InkstoneError } from '../base/errors.ts';
import { type HostTensor, tensor } from '../base/tensor.ts';

const UNSIGNED_BYTE = 0x08;

/** Of unsigned bytes, the only type that is in use. @throws InkstoneError `idx_invalid` */
export function readIdx(bytes: Uint8Array): HostTensor<'u8'> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 4 || view.getUint16(0) !== 0)
    throw invalid('it does not begin with an IDX magic number');
  const type = view.getUint8(2);
  if (type !== UNSIGNED_BYTE)
    throw invalid(`values of type 0x${type.toString(16)} are not read, only bytes (0x08)`);
  const rank = view.getUint8(3);
  const header = 4 + 4 * rank;
  if (rank === 0 || bytes.length < header) throw invalid('its header is cut short');
  const shape = Array.from({ length: rank }, (_, i) => view.getUint32(4 + 4 * i));
  const size = shape.reduce((a, b) => a * b, 1);
  if (!Number.isSafeInteger(size) || bytes.length - header !== size)
    throw invalid(`it says [${shape.join(', ')}] and holds ${bytes.length - header} values`);
  return tensor('u8', shape, bytes.slice(header) as Uint8Array<ArrayBuffer>);
}

function invalid(why: string): InkstoneError {
  return new InkstoneError('idx_invalid', `this is no IDX file: ${why}`, {
    kind: 'data',
    hint: 'give the file as it was published, or a folder of pictures',
  });
}

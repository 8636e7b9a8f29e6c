/** What crosses between a backend and the thread that holds its sessions. Types only. */
import type { HostTensors } from '../../base/tensor.ts';
import type { Part } from '../contract.ts';
import type { EngineOptions, RunRequest } from './engine.ts';

export type EngineCall =
  | { kind: 'open'; options: EngineOptions }
  | { kind: 'compile'; bytes: Uint8Array; name: string; profile: string | undefined }
  | { kind: 'blocks' }
  | { kind: 'time'; models: readonly Uint8Array[]; inputs: HostTensors; runs: number }
  | { kind: 'run'; request: RunRequest }
  | { kind: 'resident'; tensors: HostTensors }
  | { kind: 'read'; id: number; names: readonly string[] }
  | { kind: 'write'; id: number; tensors: HostTensors }
  | { kind: 'resize'; id: number; names: readonly string[]; axis: number; size: number }
  | {
      kind: 'copyRows';
      id: number;
      names: readonly string[];
      from: readonly number[];
      to: readonly number[];
    }
  | { kind: 'readPart'; id: number; names: readonly string[]; part: Part }
  | { kind: 'writePart'; id: number; tensors: HostTensors; part: Part }
  | { kind: 'freeResident'; id: number }
  | { kind: 'profile'; session: number }
  | { kind: 'free'; session: number }
  | { kind: 'close' };

export interface Question {
  id: number;
  call: EngineCall;
}

export type Answer =
  | { id: number; value: unknown }
  | {
      id: number;
      error: {
        code: string;
        message: string;
        kind: string;
        hint: string | undefined;
        details: Record<string, unknown>;
      };
    };

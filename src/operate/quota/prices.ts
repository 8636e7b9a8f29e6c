/** What tokens and pictures cost, by model, in whatever unit the operator counts. Knows no keys. */
import { InkstoneError } from '../../base/errors.ts';

export interface Price {
  /** A million tokens of prompts, a million of answers, one picture. */
  input: number;
  output: number;
  picture: number;
}

export interface Use {
  prompt: number;
  completion: number;
  pictures?: number;
}

/** Where nobody says otherwise a million tokens cost 1. */
export const DEFAULT_PRICE: Price = { input: 1, output: 1, picture: 0.001 };

export class Prices {
  private readonly byModel: ReadonlyMap<string, Price>;

  constructor(byModel: ReadonlyMap<string, Price> = new Map()) {
    this.byModel = byModel;
  }

  /** @param lines `MODEL=INPUT/OUTPUT` or `MODEL=INPUT/OUTPUT/PICTURE`; `*` for all others. @throws InkstoneError `price_invalid` */
  static parse(lines: readonly string[]): Prices {
    const byModel = new Map<string, Price>();
    for (const line of lines) {
      const at = line.lastIndexOf('=');
      const numbers = line
        .slice(at + 1)
        .split('/')
        .map((text) => (text.trim() === '' ? Number.NaN : Number(text)));
      const [input, output, picture = 0] = numbers;
      const wrong = numbers.some((number) => !Number.isFinite(number) || number < 0) || numbers.length > 3;
      if (at < 1 || input === undefined || output === undefined || wrong)
        throw new InkstoneError('price_invalid', `"${line}" is no price`, {
          kind: 'usage',
          hint: 'write MODEL=INPUT/OUTPUT: what a million tokens cost, as in gpt=0.15/0.60',
        });
      byModel.set(line.slice(0, at).trim(), { input, output, picture });
    }
    return new Prices(byModel);
  }

  of(model: string): Price {
    return this.byModel.get(model) ?? this.byModel.get('*') ?? DEFAULT_PRICE;
  }

  cost(model: string, { prompt, completion, pictures = 0 }: Use): number {
    const { input, output, picture } = this.of(model);
    return (prompt * input + completion * output) / 1e6 + pictures * picture;
  }
}

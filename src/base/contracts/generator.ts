/** A generator: what turns a request into pieces of content, one at a time. Types only. */

/** What the whole answer must be. A regular expression is to match all of it. */
export type TextConstraint =
  | { type: 'json_schema'; schema: unknown }
  | { type: 'json_object' }
  | { type: 'regex'; pattern: string }
  /**
   * Any text without a call's mark, or what `text` says, and then calls, or calls alone: each a document of `schema`
   * between the marks `open` and `close`.
   */
  | {
      type: 'tool_calls';
      open: string;
      close: string;
      schema: unknown;
      /** More than one call may come. */
      parallel: boolean;
      text?: TextConstraint;
    };

/** Looks for the likeliest texts instead of sampling (Hugging Face's beam search, greedy beams). */
export interface BeamSettings {
  /** Texts that are kept at each step. */
  width: number;
  /** A finished text's score is its log-probability divided by its length to this power. */
  lengthPenalty: number;
  /** Finished texts to give, best first; at most `width`. */
  count: number;
}

/** Settings of one text request. All are optional on the wire; defaults are filled in by the schema. */
export interface SamplingSettings {
  /** At most this many new tokens. */
  maxTokens: number;
  /** 0 takes the most likely token. */
  temperature: number;
  /** 0 keeps all. */
  topK: number;
  /** 1 keeps all. */
  topP: number;
  seed: number;
  /** The text ends before the first of these. */
  stop: readonly string[];
  /** How many alternatives to report per token; undefined for no log-probabilities at all. */
  logprobs?: number;
  /** Keeps tokens with at least this share of the likeliest one's probability; 0 (default) keeps all. */
  minP?: number;
  /** For tokens of prompt and answer; 1 (default) changes nothing. */
  repetitionPenalty?: number;
  /** Taken once from the scores of tokens of the answer so far; default 0. */
  presencePenalty?: number;
  /** The same for each time that they came; default 0. */
  frequencyPenalty?: number;
  /** Added to the scores of tokens, by id. */
  logitBias?: Readonly<Record<string, number>>;
  /** What the answer must be. It then ends with its document; where `maxTokens` has no room for one, it is cut. */
  constraint?: TextConstraint;
  beams?: BeamSettings;
}

export interface TextRequest {
  /** Unique; names the work in logs and cancels it. */
  id: string;
  prompt: string;
  /** Whose it is: beginnings of prompts that are kept are found again only by the same tenant. */
  tenant?: string;
  /** The W3C `traceparent` that the work belongs to. */
  trace?: string;
  sampling: SamplingSettings;
}

export interface TokenProbability {
  token: string;
  /** UTF-8 bytes of the token, for tokens that are part of a character. */
  bytes: readonly number[];
  /** Natural logarithm of the probability. */
  logprob: number;
}

export interface TextToken extends TokenProbability {
  top: readonly TokenProbability[];
}

export type FinishReason = 'stop' | 'length' | 'content_filter' | 'cancelled';

/** One more text of a beam search. */
export interface TextAlternative {
  text: string;
  tokens: readonly TextToken[];
  reason: FinishReason;
  completionTokens: number;
  score: number;
}

/** What comes out, in order: `start`, any number of `delta`, one `end`. */
export type TextEvent =
  | { type: 'start'; promptTokens: number }
  | { type: 'delta'; text: string; tokens: readonly TextToken[] }
  | {
      type: 'end';
      reason: FinishReason;
      completionTokens: number;
      /** Of a beam search: the text's score, and the other texts that it found, best first. */
      score?: number;
      others?: readonly TextAlternative[];
    };

/** `Request` and `Event` are TextRequest and TextEvent for text; other families bring their own. */
export interface Generator<Request, Event> {
  generate(request: Request, signal: AbortSignal): AsyncIterable<Event>;
}

/**
 * Whether a caller has given up waiting: its connection has closed, or its client has sent its last byte.
 * An AbortSignal would do the same for 1.5 KiB each; thousands of waiting connections make that matter.
 */
export interface Cancellation {
  readonly cancelled: boolean;
  /** Called once when it is cancelled. One waits at a time. */
  onCancel: (() => void) | undefined;
}

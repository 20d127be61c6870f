/** Why a connection does not read on for now. */
export const Hold = Object.freeze({
  signIn: 1,
  rate: 2,
  store: 4,
  outbox: 8,
  receipts: 16,
  subscriptions: 32,
  retained: 64,
  turn: 128,
} as const);
export type HoldBit = (typeof Hold)[keyof typeof Hold];

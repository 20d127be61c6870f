/** A ban in words, for denial records and explanations. */
export interface BanWords {
  readonly kind: 'client-id' | 'username' | 'address';
  /** For people; may be empty. */
  readonly reason: string;
  readonly isPlatform: boolean;
}

const banned = {
  'client-id': 'the client identifier is banned',
  username: 'the username is banned',
  address: 'the address is banned',
} as const;

export function describeBan({ kind, reason, isPlatform }: BanWords): string {
  return `${banned[kind]}${isPlatform ? ' by the platform' : ''}${reason === '' ? '' : `: ${reason}`}`;
}

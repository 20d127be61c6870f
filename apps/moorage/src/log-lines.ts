/**
 * Turns the JSON lines of our processes into lines for a person at a terminal: time, process, level, event, fields.
 * What is not such a line (a crash's stack, a library's warning) is passed on under the process's name. A client's words may stand in
 * any of them, and a terminal obeys control characters: they are written as escapes.
 */
export function renderLine(app: string, line: string): string {
  const fact = parse(line);
  if (fact === undefined) return `${' '.repeat(12)} ${app.padEnd(8)} ${harmless(line)}`;
  const { time, level, event, app: _, err, ...fields } = fact;
  const clock = typeof time === 'string' ? time.slice(11, 23) : ' '.repeat(12);
  const shown = Object.entries(fields).map(([name, value]) => ` ${name}=${show(value)}`);
  const head = `${clock} ${app.padEnd(8)} ${show(level).padEnd(5)} ${show(event)}`;
  return head + shown.join('') + (err === undefined ? '' : `\n${showError(err)}`);
}

function parse(line: string): Record<string, unknown> | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    const value = JSON.parse(line) as Record<string, unknown>;
    return 'event' in value ? value : undefined;
  } catch {
    return undefined;
  }
}

function show(value: unknown): string {
  const isWord = typeof value === 'string' && /^[^\s"=]+$/.test(value);
  return harmless(isWord ? value : JSON.stringify(value));
}

/** Controls, and what turns the direction of writing; lines and tabs stay. */
function harmless(text: string): string {
  return text.replace(/(?![\n\t])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (found) => {
    const code = found.codePointAt(0) ?? 0;
    return `\\u${code.toString(16).padStart(4, '0')}`;
  });
}

/** As pino writes it: { type, message, stack }. */
function showError(err: unknown): string {
  const stack = typeof err === 'object' && err !== null && 'stack' in err ? err.stack : undefined;
  const text = typeof stack === 'string' ? stack : show(err);
  return harmless(text).replace(/^/gm, '    ');
}

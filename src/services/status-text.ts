/**
 * Texts cut to what the API takes, with a count of what was left out. Limits are in octets of UTF-8: whoever counts
 * characters is content with that, too.
 */

/** `head` and `lines`, a line each; lines that don't fit are counted in the last one. */
export function fitLines(head: string, lines: readonly string[], octetsMax: number): string {
  const whole = [head, ...lines].join('\n');
  if (octetsOf(whole) <= octetsMax) return whole;
  let text = head;
  let count = 0;
  let length = octetsOf(head);
  for (const line of lines) {
    const added = octetsOf(line) + 1;
    if (length + added + octetsOf(moreLines(lines.length - count)) > octetsMax) break;
    text += `\n${line}`;
    length += added;
    count += 1;
  }
  return fitText(`${text}${moreLines(lines.length - count)}`, octetsMax);
}

function moreLines(count: number): string {
  return count === 0 ? '' : `\n(${count} more left out)`;
}

/** The text, or as much of it as fits with `… (123 characters left out)` at its end. */
export function fitText(text: string, octetsMax: number): string {
  if (octetsOf(text) <= octetsMax) return text;
  const room = octetsMax - octetsOf(moreCharacters(text.length));
  let kept = '';
  let octets = 0;
  for (const character of text) {
    octets += octetsOfCharacter(character);
    if (octets > room) break;
    kept += character;
  }
  return `${kept}${moreCharacters(text.length - kept.length)}`;
}

function moreCharacters(count: number): string {
  return `… (${count} characters left out)`;
}

/** Length in UTF-8. */
export function octetsOf(text: string): number {
  let octets = 0;
  for (const character of text) octets += octetsOfCharacter(character);
  return octets;
}

/** RFC 3629 §3; half of a surrogate pair becomes U+FFFD, of three octets. */
function octetsOfCharacter(character: string): number {
  const code = character.codePointAt(0) ?? 0;
  if (code < 0x80) return 1;
  if (code < 0x800) return 2;
  return code < 0x1_0000 ? 3 : 4;
}

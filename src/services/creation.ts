/** The order of creation: by creationTimestamp to the second, and what nobody has applied yet after all that is there. */

/** Times sort as text; absent or '' is later than any. */
export function compareCreation(a: string | undefined, b: string | undefined): number {
  const [earlier, later] = [a ?? '', b ?? ''];
  if (earlier === later) return 0;
  return earlier !== '' && (later === '' || earlier < later) ? -1 : 1;
}

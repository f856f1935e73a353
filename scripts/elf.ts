/**
 * Reads and shortens 64-bit little-endian ELF files (System V ABI, gabi 4.1): what `strip` and `ldd` are wanted for when
 * the executable and the image are built, without binutils and for either architecture, with the same result everywhere.
 */

const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;
const SHF_ALLOC = 2n;
const SHT_NOBITS = 8;
const DT_NEEDED = 1n;
const DT_STRTAB = 5n;

interface Segment {
  readonly type: number;
  readonly offset: number;
  readonly address: bigint;
  readonly fileSize: number;
}

interface Elf {
  readonly view: DataView;
  readonly octets: Uint8Array;
  readonly segments: readonly Segment[];
}

function parse(file: Uint8Array): Elf {
  // A plain view: slice() of a Buffer would share memory.
  const octets = new Uint8Array(file.buffer, file.byteOffset, file.byteLength);
  const view = new DataView(octets.buffer, octets.byteOffset, octets.byteLength);
  if (octets.length < 64 || view.getUint32(0) !== 0x7f454c46 || octets[4] !== 2 || octets[5] !== 1) {
    throw new Error('not a 64-bit little-endian ELF file');
  }
  const [start, size, count] = [
    Number(view.getBigUint64(32, true)),
    view.getUint16(54, true),
    view.getUint16(56, true),
  ];
  const segments = Array.from({ length: count }, (_, index): Segment => {
    const at = start + index * size;
    return {
      type: view.getUint32(at, true),
      offset: Number(view.getBigUint64(at + 8, true)),
      address: view.getBigUint64(at + 16, true),
      fileSize: Number(view.getBigUint64(at + 32, true)),
    };
  });
  return { view, octets, segments };
}

/**
 * The file without the sections that are not loaded (symbol tables, debug information). Linkers put those last: whatever
 * lies behind the last loaded octet goes, and the table of sections is written anew for the ones that stay.
 */
export function stripped(file: Uint8Array): Uint8Array {
  const { view, octets, segments } = parse(file);
  const table = Number(view.getBigUint64(40, true));
  const [entrySize, count, namesIndex] = [58, 60, 62].map((at) => view.getUint16(at, true)) as [number, number, number];
  const headers = Array.from({ length: count }, (_, index) =>
    octets.slice(table + index * entrySize, table + (index + 1) * entrySize),
  );
  const fieldsOf = (header: Uint8Array) => new DataView(header.buffer);
  const isLoaded = (header: Uint8Array) => (fieldsOf(header).getBigUint64(8, true) & SHF_ALLOC) !== 0n;
  const end = Math.max(
    ...segments.filter((each) => each.type === PT_LOAD).map((each) => each.offset + each.fileSize),
    ...headers.filter(isLoaded).map((header) => {
      const fields = fieldsOf(header);
      const size = fields.getUint32(4, true) === SHT_NOBITS ? 0n : fields.getBigUint64(32, true);
      return Number(fields.getBigUint64(24, true) + size);
    }),
  );

  const names = headers[namesIndex];
  if (names === undefined) throw new Error('the ELF file has no section names');
  const nameOctets = sectionOctets(octets, names);
  const kept = headers.map((header, index) => index === 0 || index === namesIndex || isLoaded(header));
  // A section refers to another by number (sh_link): where each kept one is now. What refers to a dropped one gets 0.
  let next = 0;
  const numbers = kept.map((isKept) => (isKept ? next++ : 0));
  const namesAt = end;
  const tableAt = Math.ceil((namesAt + nameOctets.length) / 8) * 8;
  const result = new Uint8Array(tableAt + next * entrySize);
  result.set(octets.subarray(0, end));
  result.set(nameOctets, namesAt);
  for (const [index, header] of headers.entries()) {
    if (kept[index] !== true) continue;
    const fields = fieldsOf(header);
    if (index === namesIndex) fields.setBigUint64(24, BigInt(namesAt), true);
    fields.setUint32(40, numbers[fields.getUint32(40, true)] ?? 0, true);
    result.set(header, tableAt + (numbers[index] ?? 0) * entrySize);
  }
  const head = new DataView(result.buffer);
  head.setBigUint64(40, BigInt(tableAt), true);
  head.setUint16(60, next, true);
  head.setUint16(62, numbers[namesIndex] ?? 0, true);
  return result;
}

function sectionOctets(octets: Uint8Array, header: Uint8Array): Uint8Array {
  const fields = new DataView(header.buffer);
  const offset = Number(fields.getBigUint64(24, true));
  return octets.slice(offset, offset + Number(fields.getBigUint64(32, true)));
}

export interface Needs {
  /** The dynamic linker's path (PT_INTERP); undefined for a library. */
  readonly interpreter: string | undefined;
  /** Names of the shared libraries (DT_NEEDED), in order. */
  readonly libraries: readonly string[];
}

/** What the dynamic linker must find to load the file. */
export function needsOf(file: Uint8Array): Needs {
  const elf = parse(file);
  const { view, octets, segments } = elf;
  const interpreter = segments.find((each) => each.type === PT_INTERP);
  const dynamic = segments.find((each) => each.type === PT_DYNAMIC);
  const needed: number[] = [];
  let strings = 0;
  const [start, size] = [dynamic?.offset ?? 0, dynamic?.fileSize ?? 0];
  for (let at = start; at < start + size; at += 16) {
    const [tag, value] = [view.getBigUint64(at, true), view.getBigUint64(at + 8, true)];
    if (tag === 0n) break;
    if (tag === DT_NEEDED) needed.push(Number(value));
    if (tag === DT_STRTAB) strings = fileOffset(elf, value);
  }
  return {
    interpreter: interpreter === undefined ? undefined : textAt(octets, interpreter.offset),
    libraries: needed.map((offset) => textAt(octets, strings + offset)),
  };
}

function fileOffset({ segments }: Elf, address: bigint): number {
  const segment = segments.find(
    (each) => each.type === PT_LOAD && address >= each.address && address < each.address + BigInt(each.fileSize),
  );
  if (segment === undefined) throw new Error(`address ${address} is in no segment of the ELF file`);
  return Number(address - segment.address) + segment.offset;
}

function textAt(octets: Uint8Array, offset: number): string {
  return Buffer.from(octets.subarray(offset, octets.indexOf(0, offset))).toString('latin1');
}

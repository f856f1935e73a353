/**
 * The configuration file: YAML or JSON, with kube-vip's keys (those of its struct tags as well as its field names, without
 * regard to case, nested as there) or the names of the variables. Gives texts, as the environment would.
 */

import { isMap, isScalar, parseDocument } from 'yaml';
import { BFD_DEFAULT, type BgpPeer } from './bgp-peers.ts';
import { finding, type Findings } from './finding.ts';
import { nearestName } from './name.ts';
import { OPTIONS, type OptionName } from './schema.ts';

export interface ConfigFile {
  readonly path: string;
  readonly text: string;
}

export interface FileContent {
  readonly values: ReadonlyMap<OptionName, string>;
  /** bgpConfig.peers, kube-vip's long form of bgp_peers; undefined when absent. */
  readonly peers: readonly BgpPeer[] | undefined;
}

/** Octets; a longer file is none of ours. */
const FILE_LENGTH_MAX = 1_048_576;
const DEPTH_MAX = 8;
const EMPTY: FileContent = { values: new Map(), peers: undefined };

/** Keys of kube-vip's file that hold no setting of ours: computed, or lists of IPVS balancers. */
const OTHER_KEYS: Readonly<Record<string, string>> = {
  loadbalancers: 'load balancers of its own are not supported',
  addpeersasbackends: 'load balancers of its own are not supported',
  isdualstack: 'kube-vip computes it',
  requiredualstack: 'kube-vip computes it',
  configfile: 'a file cannot name another one',
};

/** The settings in `file`; whatever is wrong with it goes to `findings`. */
export function parseFile(file: ConfigFile, findings: Findings): FileContent {
  const root = parseText(file, findings);
  if (root === undefined) return EMPTY;
  const values = new Map<OptionName, string>();
  const keys = keyTable();
  let peers: readonly BgpPeer[] | undefined;
  for (const [path, value] of flatten(root, '', 0)) {
    const key = path.toLowerCase();
    const refuse = (message: string): void => {
      findings.problems.push(finding('CONFIG_FILE_INVALID', path, message, { path: file.path }));
    };
    if (value === null || value === undefined) continue;
    if (key === 'bgpconfig.peers') {
      peers = parsePeerObjects(value, refuse);
      continue;
    }
    const option = keys.get(key);
    if (option === undefined) {
      noteUnknownKey(path, file, [...keys.keys()], findings);
      continue;
    }
    const text = toText(value);
    if (text === undefined) refuse(`${path} is neither text, a number, true, false nor a list of these`);
    else if (text !== '') values.set(option, text);
  }
  return { values, peers };
}

function parseText(file: ConfigFile, findings: Findings): Readonly<Record<string, unknown>> | undefined {
  const refuse = (message: string): undefined => {
    findings.problems.push(finding('CONFIG_FILE_INVALID', 'config_file', message, { path: file.path }));
  };
  const extension = /\.[^./]*$/.exec(file.path)?.[0].toLowerCase() ?? '';
  if (!['.yaml', '.yml', '.json'].includes(extension)) {
    return refuse(`${file.path}: the name does not end in .yaml, .yml or .json`);
  }
  if (file.text.length > FILE_LENGTH_MAX) return refuse(`${file.path}: longer than ${FILE_LENGTH_MAX} characters`);
  if (file.text.trim() === '') return {};
  if (extension === '.json') {
    try {
      return asObject(JSON.parse(file.text)) ?? refuse(`${file.path}: the top level is not an object`);
    } catch (error) {
      return refuse(`${file.path}: not JSON: ${error instanceof Error ? error.message : 'unreadable'}`);
    }
  }
  const document = parseDocument(file.text, { prettyErrors: true });
  const [first] = document.errors;
  if (first !== undefined) {
    return refuse(`${file.path}: not YAML: ${first.message.split('\n')[0]?.replace(/:$/, '') ?? first.code}`);
  }
  if (document.contents === null || (isScalar(document.contents) && document.contents.value === null)) return {};
  if (!isMap(document.contents)) return refuse(`${file.path}: the top level is not a mapping`);
  return asObject(document.toJS({ maxAliasCount: 100 })) ?? refuse(`${file.path}: the top level is not a mapping`);
}

/** Lower-case dotted key → setting. */
function keyTable(): ReadonlyMap<string, OptionName> {
  const table = new Map<string, OptionName>();
  for (const option of OPTIONS) {
    for (const key of [option.name, ...(option.aliases ?? []), ...(option.fileKeys ?? [])]) {
      table.set(key.toLowerCase(), option.name);
    }
  }
  return table;
}

/** Leaves with their dotted paths; lists and the annotations of the Lease are leaves. */
function* flatten(
  node: Readonly<Record<string, unknown>>,
  prefix: string,
  depth: number,
): Generator<[string, unknown]> {
  for (const [key, value] of Object.entries(node)) {
    const path = prefix === '' ? key : `${prefix}.${key}`;
    const child = asObject(value);
    const isMapValue = ['leaseannotations', 'vip_leaseannotations'].includes(path.toLowerCase());
    if (child !== undefined && !isMapValue && depth < DEPTH_MAX) yield* flatten(child, path, depth + 1);
    else yield [path, value];
  }
}

function toText(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint') return String(value);
  if (Array.isArray(value)) {
    const items = value.map((item: unknown) => (Array.isArray(item) ? undefined : toText(item)));
    return items.every((item) => item !== undefined) ? items.join(',') : undefined;
  }
  return asObject(value) === undefined ? undefined : JSON.stringify(value);
}

function noteUnknownKey(path: string, file: ConfigFile, known: readonly string[], findings: Findings): void {
  const [top = ''] = path.toLowerCase().split('.');
  const other = OTHER_KEYS[top];
  if (other !== undefined) {
    findings.warnings.push(finding('CONFIG_NOT_SUPPORTED', path, `${path} in ${file.path} has no effect: ${other}`));
    return;
  }
  const nearest = nearestName(path, known);
  const message = `${path} in ${file.path} is not a setting and has no effect`;
  findings.warnings.push(
    nearest === undefined
      ? finding('CONFIG_NAME_UNKNOWN', path, message)
      : finding('CONFIG_NAME_MISSPELLED', path, `${message}; ${nearest} is one`, { nearest }),
  );
}

/** kube-vip's BGPPeer objects, keys without regard to case; the default port is 179 (RFC 4271 §8.2.1). */
function parsePeerObjects(value: unknown, refuse: (message: string) => void): readonly BgpPeer[] {
  if (!Array.isArray(value)) {
    refuse('bgpConfig.peers is not a list');
    return [];
  }
  const peers: BgpPeer[] = [];
  for (const [index, item] of value.entries()) {
    const object = asObject(item);
    if (object === undefined) {
      refuse(`bgpConfig.peers[${index}] is not a mapping`);
      continue;
    }
    const fields = new Map(Object.entries(object).map(([key, field]) => [key.toLowerCase(), toText(field) ?? '']));
    const text = (key: string): string => fields.get(key) ?? '';
    const whole = (key: string, fallback: number): number =>
      /^\d{1,10}$/.test(text(key)) ? Number(text(key)) : fallback;
    if (text('address') === '' && text('interface') === '') {
      refuse(`bgpConfig.peers[${index}] has neither address nor interface`);
    }
    peers.push({
      address: text('address'),
      interface: text('interface'),
      as: whole('as', 0),
      password: text('password'),
      multihop: text('multihop') === 'true',
      port: whole('port', 179),
      mpbgpNexthop: text('mpbgpnexthop'),
      mpbgpIpv4: text('mpbgpipv4'),
      mpbgpIpv6: text('mpbgpipv6'),
      bfd: {
        enabled: text('bfdenabled') === 'true',
        receiveIntervalMs: whole('bfdreceiveinterval', BFD_DEFAULT.receiveIntervalMs),
        transmitIntervalMs: whole('bfdtransmitinterval', BFD_DEFAULT.transmitIntervalMs),
        detectMultiplier: whole('bfddetectmultiplier', BFD_DEFAULT.detectMultiplier),
      },
    });
  }
  return peers;
}

function asObject(value: unknown): Readonly<Record<string, unknown>> | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  return Object.fromEntries(Object.entries(value));
}

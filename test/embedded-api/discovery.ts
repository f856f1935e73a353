/** The documents that tell a client what is here: health, version, groups and resources. */

import { apiVersionOf, KINDS } from './kinds.ts';
import type { Json } from './object.ts';

const GROUPS = [...new Set(KINDS.map((kind) => kind.group))].filter((group) => group !== '');

/** The answer to a path outside the resources: text, a document, or undefined when there is nothing. */
export function discovery(path: string): string | Json | undefined {
  switch (path.replace(/\/$/, '')) {
    case '/healthz':
    case '/livez':
    case '/readyz':
      return 'ok';
    case '/version':
      return { major: '1', minor: '36', gitVersion: 'v1.36.0-embedded', platform: `linux/${process.arch}` };
    case '/api':
      return { kind: 'APIVersions', versions: ['v1'] };
    case '/apis':
      return { kind: 'APIGroupList', apiVersion: 'v1', groups: GROUPS.map(group) };
    default:
      return resources(path.replace(/^\/apis?\//, ''));
  }
}

function group(name: string): Json {
  const versions = KINDS.filter((kind) => kind.group === name).map((kind) => kind.version);
  const [version = 'v1'] = versions;
  const entry = { groupVersion: `${name}/${version}`, version };
  return { name, versions: [entry], preferredVersion: entry };
}

function resources(groupVersion: string): Json | undefined {
  const kinds = KINDS.filter((kind) => apiVersionOf(kind) === groupVersion);
  if (kinds.length === 0) return undefined;
  const verbs = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];
  const rows = kinds.flatMap((kind) => {
    const row = { namespaced: kind.isNamespaced, kind: kind.kind, singularName: kind.kind.toLowerCase() };
    const own = { ...row, name: kind.resource, verbs };
    return kind.hasStatus === true
      ? [own, { ...row, name: `${kind.resource}/status`, singularName: '', verbs: ['get', 'patch', 'update'] }]
      : [own];
  });
  return { kind: 'APIResourceList', apiVersion: 'v1', groupVersion, resources: rows };
}

/** The documents that tell a client what is here: health, version, groups and resources. */

import { apiVersionOf, type Kind } from './kinds.ts';
import type { Json } from './object.ts';

/** The answer to a path outside the resources of `kinds`: text, a document, or undefined when there is nothing. */
export function discovery(path: string, kinds: readonly Kind[]): string | Json | undefined {
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
      return { kind: 'APIGroupList', apiVersion: 'v1', groups: groups(kinds) };
    default:
      return resources(path.replace(/^\/apis?\//, '').replace(/\/$/, ''), kinds);
  }
}

function groups(kinds: readonly Kind[]): readonly Json[] {
  const names = new Set(kinds.map((kind) => kind.group).filter((name) => name !== ''));
  return [...names].map((name) => {
    const versions = [...new Set(kinds.filter((kind) => kind.group === name).map((kind) => kind.version))];
    const entries = versions.map((version) => ({ groupVersion: `${name}/${version}`, version }));
    return { name, versions: entries, preferredVersion: entries[0] };
  });
}

function resources(groupVersion: string, all: readonly Kind[]): Json | undefined {
  const kinds = all.filter((kind) => apiVersionOf(kind) === groupVersion);
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

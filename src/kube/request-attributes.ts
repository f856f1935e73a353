/** What a request asks of the API, in the words of its authorizer: verb and resource. Pure. */

export type RequestVerb = 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete';

export interface RequestAttributes {
  readonly verb: RequestVerb;
  /** Plural, as in the path and in rules: leases, services/status. `other` for a path that names none (/readyz). */
  readonly resource: string;
  /** '' = of the whole cluster. */
  readonly namespace: string;
}

export interface RequestLine {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean>> | undefined;
}

const NOT_A_RESOURCE = { resource: 'other', namespace: '', hasName: true } as const;

/** Paths as in the API conventions: /api/v1/… or /apis/GROUP/VERSION/…, then [namespaces/NAMESPACE/]RESOURCE[/NAME[/SUBRESOURCE]]. */
export function attributesOf(request: RequestLine): RequestAttributes {
  const { resource, namespace, hasName } = readPath(request.path);
  return { verb: verbOf(request, hasName), resource, namespace };
}

function readPath(path: string): { readonly resource: string; readonly namespace: string; readonly hasName: boolean } {
  const [, prefix, ...rest] = path.split('/');
  const parts = prefix === 'api' ? rest.slice(1) : prefix === 'apis' ? rest.slice(2) : [];
  const isNamespaced = parts[0] === 'namespaces' && parts.length > 2;
  const [kind, name, part] = isNamespaced ? parts.slice(2) : parts;
  if (kind === undefined || kind === '') return NOT_A_RESOURCE;
  const resource = part === undefined || part === '' ? kind : `${kind}/${part}`;
  return { resource, namespace: isNamespaced ? (parts[1] ?? '') : '', hasName: name !== undefined };
}

function verbOf({ method, query }: RequestLine, hasName: boolean): RequestVerb {
  switch (method) {
    case 'POST':
      return 'create';
    case 'PUT':
      return 'update';
    case 'PATCH':
      return 'patch';
    case 'DELETE':
      return 'delete';
    case 'GET': {
      const watch = query?.['watch'];
      if (watch !== undefined && watch !== false && watch !== 0) return 'watch';
      return hasName ? 'get' : 'list';
    }
  }
}

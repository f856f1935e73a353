/** Label and field selectors, as list and watch take them. */

import { badRequest, type KubeObject } from './object.ts';

export type Matcher = (object: KubeObject) => boolean;

/** Both selectors of a request in one; throws a 400 for what the real server wouldn't take either. */
export function parseSelectors(labels: string | null, fields: string | null): Matcher {
  const tests = [...splitTop(labels ?? '').map(labelTest), ...splitTop(fields ?? '').map(fieldTest)];
  return (object) => tests.every((test) => test(object));
}

/** Splits at commas that stand outside of parentheses. */
function splitTop(text: string): readonly string[] {
  return text
    .split(/,(?![^(]*\))/)
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

function labelTest(text: string): Matcher {
  const set = /^([\w./-]+)\s+(in|notin)\s*\(([^)]*)\)$/.exec(text);
  if (set !== null) {
    const [, key = '', operator, list = ''] = set;
    const values = list.split(',').map((value) => value.trim());
    return (object) => {
      const value = object.metadata.labels?.[key];
      const isListed = value !== undefined && values.includes(value);
      return operator === 'in' ? isListed : !isListed;
    };
  }
  const equality = /^([\w./-]+)\s*(==|=|!=)\s*([\w.-]*)$/.exec(text);
  if (equality !== null) {
    const [, key = '', operator, wanted] = equality;
    return (object) => (object.metadata.labels?.[key] === wanted) === (operator !== '!=');
  }
  const existence = /^(!?)([\w./-]+)$/.exec(text);
  if (existence === null) throw badRequest(`unable to parse requirement: ${JSON.stringify(text)}`);
  const [, not, key = ''] = existence;
  return (object) => (object.metadata.labels?.[key] !== undefined) === (not === '');
}

function fieldTest(text: string): Matcher {
  const [, path, operator, wanted = ''] = /^([\w.]+)(==|=|!=)(.*)$/.exec(text) ?? [];
  if (path !== 'metadata.name' && path !== 'metadata.namespace') {
    throw badRequest(`field label not supported: ${path ?? text}`);
  }
  return (object) => {
    const value = path === 'metadata.name' ? object.metadata.name : (object.metadata.namespace ?? '');
    return (value === wanted) === (operator !== '!=');
  };
}

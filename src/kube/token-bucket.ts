/** How often something may be done: so many times at once, and then one in each interval. */

export interface Bucket {
  tokens: number;
  refilledAt: number;
}

export function fullBucket(burst: number): Bucket {
  return { tokens: burst, refilledAt: performance.now() };
}

/** 0 when one may go now (and is counted), else ms until one may. */
export function takeToken(bucket: Bucket, burst: number, intervalMs: number): number {
  const now = performance.now();
  const earned = Math.floor((now - bucket.refilledAt) / intervalMs);
  if (earned > 0) {
    bucket.tokens = Math.min(burst, bucket.tokens + earned);
    bucket.refilledAt += earned * intervalMs;
  }
  if (bucket.tokens === 0) return bucket.refilledAt + intervalMs - now;
  bucket.tokens -= 1;
  return 0;
}

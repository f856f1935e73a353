/**
 * The first seeds that show each mutant, as `npm run sim -- --hunt` found and wrote them. A change of the core may make
 * another cluster of a seed: that the first of them no longer shows the mutant is nothing yet, that none does has the hunt
 * begin anew.
 */

export const SEEDS_PER_MUTANT = 4;

export const MUTANT_SEEDS: Readonly<Record<string, readonly number[]>> = {
  'tenure-endless': [4, 7, 10, 17],
  'tenure-from-answer': [3, 17, 28, 30],
  'lifetime-endless': [1, 2, 3, 4],
  'lifetime-unlimited': [2, 3, 6, 10],
  'probe-skipped': [17, 23, 37, 40],
  'answers-ignored': [3, 24, 27, 28],
  'delete-left-out': [1, 3, 4, 6],
  'release-first': [1, 3, 5, 7],
  'consent-always': [9, 22, 37, 40],
  'expiry-early': [2, 4, 6, 8],
  'expiry-from-start': [2, 5, 6, 7],
  'versions-ignored': [2, 4, 9, 17],
  'transitions-uncounted': [2, 3, 4, 6],
  'jump-ignored': [1, 3, 4, 9],
  'carrier-ignored': [1, 9, 38, 40],
  'removal-ignored': [1, 4, 7, 11],
  'ordinary-marked': [1, 2, 3, 4],
  'never-takes-over': [2, 3, 4, 8],
  'isolation-ignored': [1, 5, 11, 12],
  'one-voice-deposes': [18, 29, 35, 41],
  'wire-taken-for-silent': [12, 18, 24, 25],
  'handover-endless': [12, 44, 84, 114],
  'replacement-unheard': [27, 158, 197, 304],
  'outage-drops': [24, 27, 29, 35],
  'silence-endured': [12, 18, 24, 29],
  'idle-holder-trusted': [115, 190, 193, 195],
  'connections-ended-early': [1, 3, 4, 5],
  'service-delete-left-out': [1, 3, 4, 6],
  'service-yield-endless': [2, 19, 20, 25],
  'service-voteless-kept': [3, 37, 40, 57],
  'service-lost-kept': [3, 4, 7, 9],
  'service-answers-ignored': [3, 4, 6, 7],
  'service-standing-endless': [1, 3, 4, 5],
  restless: [1, 2, 3, 4],
};

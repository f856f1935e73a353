/**
 * The loop: deliver an event, step, perform the effects in order, sleep until the least deadline. Events that arrive
 * while a turn runs wait in a queue. There is one timer and it is set here; everything else is a function.
 */

import { assert } from '../base/assert.ts';
import { monotonic, type MonotonicMs } from '../base/time.ts';
import type { Effect } from '../agent/effect.ts';
import type { AgentEvent } from '../agent/event.ts';
import { PORTION } from '../agent/services/step.ts';
import type { AgentState } from '../agent/state.ts';
import { agentDeadline, step } from '../agent/step.ts';
import { Pace } from './pace.ts';
import type { AgentRules } from '../agent/state.ts';

export interface LoopOptions {
  readonly rules: AgentRules;
  readonly initial: AgentState;
  /** CLOCK_MONOTONIC in ms. */
  readonly now: () => MonotonicMs;
  /** Processor time of this thread so far, ms: what a turn took of it says how much the next one may do. Absent: no limit. */
  readonly processorMs?: () => number;
  /** Performs one effect; may dispatch events, which run after the present turn. */
  readonly perform: (effect: Effect) => void;
  /** After each turn: the event, the state it led to, and by how many ms a due deadline was overrun (0 = not due). */
  readonly onTurn?: (event: AgentEvent, state: AgentState, lateMs: number) => void;
  /** Asked before each turn: how far the clocks jumped since the last, in ms (0 = they didn't). */
  readonly clockJump?: () => number;
}

export interface Loop {
  dispatch(event: AgentEvent): void;
  readonly state: AgentState;
  /** The deadline the loop sleeps until. */
  readonly deadline: MonotonicMs;
  /** Stops the timer; later events are dropped. */
  close(): void;
}

/** More waiting events than this means that the loop can't keep up: an invariant, since each source is bounded. */
export const QUEUE_MAX = 100_000;
/** Node's timers overflow beyond 2^31 ms. */
const SLEEP_MAX_MS = 60_000;
/** A tick as near as this isn't put off. */
const NEAR_MS = 2;

export function startLoop(options: LoopOptions): Loop {
  const loop = new RunningLoop(options);
  loop.dispatch({ kind: 'tick' });
  return loop;
}

class RunningLoop implements Loop {
  state: AgentState;
  deadline: MonotonicMs = monotonic(Number.POSITIVE_INFINITY);
  readonly #options: LoopOptions;
  readonly #queue: AgentEvent[] = [];
  #isTurning = false;
  #isClosed = false;
  #timer: NodeJS.Timeout | undefined;
  /** What the timer was set for; undefined once it has fired. */
  #timerFor: MonotonicMs | undefined;
  #immediate: NodeJS.Immediate | undefined;
  readonly #pace = new Pace(PORTION);

  constructor(options: LoopOptions) {
    this.#options = options;
    this.state = options.initial;
  }

  dispatch(event: AgentEvent): void {
    if (this.#isClosed) return;
    assert(this.#queue.length < QUEUE_MAX, 'fewer than QUEUE_MAX events wait');
    this.#queue.push(event);
    if (this.#isTurning) return;
    this.#isTurning = true;
    try {
      this.#drain();
    } finally {
      this.#isTurning = false;
    }
    this.#sleep();
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    clearImmediate(this.#immediate);
  }

  #drain(): void {
    for (let event = this.#queue.shift(); event !== undefined && !this.#isClosed; event = this.#queue.shift()) {
      const jumpMs = this.#options.clockJump?.() ?? 0;
      if (jumpMs !== 0) this.#turn({ kind: 'clock.jumped', byMs: jumpMs });
      this.#turn(event);
    }
  }

  #turn(event: AgentEvent): void {
    const { rules, now, perform, onTurn, processorMs } = this.#options;
    const at = now();
    const begunMs = event.kind === 'tick' ? processorMs?.() : undefined;
    const lateMs = Math.max(0, at - this.deadline);
    const stepped = step(rules, this.state, event, at);
    this.state = stepped.state;
    this.deadline = agentDeadline(rules, this.state, at);
    for (const effect of stepped.effects) perform(effect);
    if (begunMs !== undefined && processorMs !== undefined) this.#pace.took(processorMs() - begunMs);
    onTurn?.(event, this.state, lateMs);
  }

  #sleep(): void {
    if (this.#isClosed) {
      clearTimeout(this.#timer);
      clearImmediate(this.#immediate);
      return;
    }
    // Most events leave the deadline as it is.
    if (this.#timerFor === this.deadline || this.#isTickNear()) return;
    clearTimeout(this.#timer);
    this.#timerFor = this.deadline;
    // Upwards: Node's timers drop fractions, and a tick before its deadline would only be followed by another.
    const waitMs = Math.min(SLEEP_MAX_MS, Math.max(0, Math.ceil(this.deadline - this.#options.now())));
    // After a stall what waits in the sockets is heard first: else everybody would seem silent for as long as we were deaf.
    this.#timer = setTimeout(() => {
      this.#timerFor = undefined;
      this.#immediate = setImmediate(() => {
        this.#immediate = undefined;
        this.dispatch({ kind: 'tick', portion: this.#pace.portion });
      });
    }, waitMs);
  }

  /**
   * What is due now has its deadline put off a little by every event: were the timer put off as well, no tick would come for
   * as long as events come in fast.
   */
  #isTickNear(): boolean {
    if (this.#immediate !== undefined) return true;
    return this.#timerFor !== undefined && this.#timerFor <= Math.min(this.deadline, this.#options.now() + NEAR_MS);
  }
}

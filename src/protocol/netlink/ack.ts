/**
 * The kernel's answers to a request: NLMSG_ERROR (an acknowledgement when its error is 0) and NLMSG_DONE at the end of a
 * dump, both with the extended text that NETLINK_EXT_ACK asks for (Documentation/userspace-api/netlink/intro.rst).
 */

import { malformed, ok, type Decoded } from '../../base/outcome.ts';
import { decodeAttributes, readText, readU32, type AttributePolicy, type AttributeReason } from './attribute.ts';
import { NLM_F_ACK_TLVS, NLM_F_CAPPED, NLMSG_DONE, NLMSGERR_ATTR_MSG, NLMSGERR_ATTR_OFFS } from './constants.ts';
import { align, MESSAGE_HEADER_BYTES, viewOf, type NetlinkMessage } from './message.ts';

export interface Acknowledgement {
  /** 0: done; else the errno (positive) with which the kernel refused. */
  readonly errno: number;
  /** The kernel's words (NLMSGERR_ATTR_MSG), when it has any. */
  readonly text: string | undefined;
  /** Offset of the attribute it objects to (NLMSGERR_ATTR_OFFS), octets from the start of the request. */
  readonly attributeOffset: number | undefined;
}

export type AcknowledgementReason = 'acknowledgement-truncated' | AttributeReason;

const ERROR_BYTES = 4;
const POLICY: AttributePolicy = new Map([[NLMSGERR_ATTR_OFFS, 4]]);

/** Decodes the payload of an NLMSG_ERROR or NLMSG_DONE. A DONE without a code (older kernels) is success. */
export function decodeAcknowledgement(message: NetlinkMessage): Decoded<Acknowledgement, AcknowledgementReason> {
  const { payload, type, flags } = message;
  const isDone = type === NLMSG_DONE;
  if (isDone && payload.length === 0) return ok({ errno: 0, text: undefined, attributeOffset: undefined });
  if (payload.length < ERROR_BYTES) return malformed('acknowledgement-truncated', 0);
  const view = viewOf(payload);
  const errno = Math.abs(view.getInt32(0, true));
  if ((flags & NLM_F_ACK_TLVS) === 0) return ok({ errno, text: undefined, attributeOffset: undefined });

  let start = ERROR_BYTES;
  if (!isDone) {
    if (payload.length < ERROR_BYTES + MESSAGE_HEADER_BYTES) return malformed('acknowledgement-truncated', ERROR_BYTES);
    // The request's header is echoed always, the rest of it only with an error and without NETLINK_CAP_ACK.
    const isWhole = errno !== 0 && (flags & NLM_F_CAPPED) === 0;
    const echoed = isWhole ? view.getUint32(ERROR_BYTES, true) : MESSAGE_HEADER_BYTES;
    if (echoed > payload.length - ERROR_BYTES) return malformed('acknowledgement-truncated', ERROR_BYTES);
    start += align(echoed);
  }
  const attributes = decodeAttributes(payload, start, POLICY);
  if (!attributes.ok) return attributes;
  return ok({
    errno,
    text: readText(attributes.value.get(NLMSGERR_ATTR_MSG)),
    attributeOffset: readU32(attributes.value.get(NLMSGERR_ATTR_OFFS)),
  });
}

/**
 * Numbers of netlink and rtnetlink, each with the kernel header it comes from. Only what this codec reads or writes.
 */

/** linux/netlink.h: message types below NLMSG_MIN_TYPE are control messages. */
export const NLMSG_NOOP = 1;
export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;
export const NLMSG_OVERRUN = 4;

/** linux/netlink.h: nlmsg_flags. */
export const NLM_F_REQUEST = 0x001;
export const NLM_F_MULTI = 0x002;
export const NLM_F_ACK = 0x004;
/** The dump was inconsistent because what is dumped changed meanwhile. */
export const NLM_F_DUMP_INTR = 0x010;
export const NLM_F_REPLACE = 0x100;
export const NLM_F_CREATE = 0x400;
/** NLM_F_ROOT | NLM_F_MATCH. */
export const NLM_F_DUMP = 0x300;
/** In an acknowledgement: the request is not echoed beyond its header. */
export const NLM_F_CAPPED = 0x100;
/** In an acknowledgement: extended attributes follow. */
export const NLM_F_ACK_TLVS = 0x200;

/** linux/netlink.h: enum nlmsgerr_attrs. */
export const NLMSGERR_ATTR_MSG = 1;
export const NLMSGERR_ATTR_OFFS = 2;

/** linux/netlink.h: flag bits in nla_type. */
export const NLA_TYPE_MASK = 0x3fff;

/** linux/rtnetlink.h: message types. */
export const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
export const RTM_GETLINK = 18;
export const RTM_NEWADDR = 20;
export const RTM_DELADDR = 21;
export const RTM_GETADDR = 22;
export const RTM_NEWROUTE = 24;
export const RTM_DELROUTE = 25;
export const RTM_GETROUTE = 26;

/** linux/rtnetlink.h: enum rtnetlink_groups. */
export const RTNLGRP_LINK = 1;
export const RTNLGRP_IPV4_IFADDR = 5;
export const RTNLGRP_IPV4_ROUTE = 7;
export const RTNLGRP_IPV6_IFADDR = 9;
export const RTNLGRP_IPV6_ROUTE = 11;

/** linux/socket.h: address families. */
export const AF_UNSPEC = 0;
export const AF_INET = 2;
export const AF_INET6 = 10;

/** linux/if_link.h: attributes of a link. */
export const IFLA_ADDRESS = 1;
export const IFLA_IFNAME = 3;
export const IFLA_MTU = 4;
export const IFLA_MASTER = 10;
export const IFLA_OPERSTATE = 16;
export const IFLA_LINKINFO = 18;
export const IFLA_EXT_MASK = 29;
export const IFLA_INFO_KIND = 1;

/** linux/rtnetlink.h: a bit of IFLA_EXT_MASK: leave interface statistics out of the answer. */
export const RTEXT_FILTER_SKIP_STATS = 0x8;

/** linux/if.h: ifi_flags. */
export const IFF_UP = 0x1;
export const IFF_LOWER_UP = 0x10000;

/** linux/if_addr.h: attributes of an interface address. */
export const IFA_ADDRESS = 1;
export const IFA_LOCAL = 2;
export const IFA_CACHEINFO = 6;
export const IFA_FLAGS = 8;
export const IFA_PROTO = 11;

/** linux/if_addr.h: IFA_F_*. */
/** Not the first of its network on the interface (IPv4): goes when that one goes, unless promote_secondaries is set. */
export const IFA_F_SECONDARY = 0x01;
export const IFA_F_NODAD = 0x02;
export const IFA_F_DADFAILED = 0x08;
export const IFA_F_DEPRECATED = 0x20;
export const IFA_F_TENTATIVE = 0x40;
export const IFA_F_PERMANENT = 0x80;
export const IFA_F_NOPREFIXROUTE = 0x200;

/** linux/rtnetlink.h: attributes of a route. */
export const RTA_DST = 1;
export const RTA_OIF = 4;
export const RTA_GATEWAY = 5;
export const RTA_PRIORITY = 6;
export const RTA_MULTIPATH = 9;
export const RTA_TABLE = 15;
export const RTA_VIA = 18;

/** linux/rtnetlink.h: enum rt_class_t, rt_scope_t, rtm_type. */
export const RT_TABLE_MAIN = 254;
export const RT_SCOPE_UNIVERSE = 0;
export const RT_SCOPE_HOST = 254;
export const RTN_UNICAST = 1;

/** linux/if_addr.h: INFINITY_LIFE_TIME. */
export const LIFETIME_FOREVER = 0xffff_ffff;

/** IFA_PROTO that marks an address as Holdfast's ('H'); the kernel's own values are 1 … 3 (linux/if_addr.h). */
export const HOLDFAST_ADDRESS_PROTOCOL = 0x48;
/** The same of a process for Services alone ('I'): one beside it, for the control plane, has addresses of its own. */
export const HOLDFAST_SERVICES_PROTOCOL = 0x49;

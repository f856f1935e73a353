/**
 * The virtual IPs move as they should: three nodes, the embedded API, each failure in turn, with both families at once
 * and with each alone. test/conformance/failover.conformance.ts does it with a real API.
 */

import { describeFailover } from './failover-suite.ts';

describeFailover('embedded', ['ipv4', 'ipv6']);
describeFailover('embedded', ['ipv6'], ['stop', 'crash', 'cut', 'power']);
describeFailover('embedded', ['ipv4'], ['stop', 'crash', 'cut', 'power']);

/* base/fault.h - named points where a test build can be made to die, stop, fail or wait.
 * GRANTD_FAULT=<point>:<action>[:n] with actions kill9 abort freeze stop(ms) exit delay(ms) eio enospc; n: on
 * the n-th passage (default the first). Several, separated by commas. Without GRANTD_FAULTS the macro is 0.
 */
#ifndef GD_BASE_FAULT_H
#define GD_BASE_FAULT_H

#ifdef GRANTD_FAULTS
/* Returns 0, or the errno that this point shall pretend to have met. Any thread. */
int gd_fault(const char *point);
#define GD_FAULT(point) gd_fault(point)
#else
#define GD_FAULT(point) 0
#endif

#endif

#ifndef UNDERSTUDY_HDF5_PROBE_H_
#define UNDERSTUDY_HDF5_PROBE_H_

// The HDF5 library trusts what a file says of itself: damaged files exist that crash it or keep it
// busy for ever, ours too. So a helper, scripts/probe/understudy_probe.c, walks over a file first,
// and what happens to that process is the verdict.
//
// The helper lies where the library's install put it; the environment variable UNDERSTUDY_PROBE
// names another place. Where there is none, files are refused.
//
// Threads: as for datasets, calls come from one thread at a time.

#include "worldmodel/base/status.h"

// Lets the helper open every column and attribute at the root of an HDF5 file. A helper that
// crashes or does not end in time is US_FORMAT; what it found otherwise is for the caller to find
// again.
UsStatus us_hdf5_probe(const char* path);

#endif  // UNDERSTUDY_HDF5_PROBE_H_

#pragma once
/* Syscalls and constants that Swift's importer does not see, as static inline functions. One header per owner. */
#include "blocks.h"
#include "pool.h"
#include "reactor.h"
#include "scan.h"
#include "spawn.h"

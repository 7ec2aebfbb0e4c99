// SPDX-License-Identifier: Apache-2.0
//
// Murmur2: the 32-bit hash by which Kafka's Java clients choose partitions. Our partitions agree
// with theirs only as long as this agrees bit for bit.
#pragma once

#include "base/slice.h"

int32_t murmur2(struct slice s);

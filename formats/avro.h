// SPDX-License-Identifier: Apache-2.0
//
// Avro: what the Avro files share with the codec. Schemas are read and checked with Avro-C
// (avro_schema.c); records are read and written by our own flat plan (avro_plan.c, doc_avro.c),
// since that is on the way of every record; containers are in avro_container.h.
#pragma once

#include "formats/plan.h"

// Completes a plan with the steps of the writer's bytes (NULL: the plan's own schema), matched by
// field name. `own` is the plan's schema. -1: says which field does not fit.
int avro_plan(struct plan *, const struct schema *own, const struct schema *writer, struct err *);

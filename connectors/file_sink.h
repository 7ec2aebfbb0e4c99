// SPDX-License-Identifier: Apache-2.0
//
// File sink: a topic's records into CSV, JSON-lines or Avro files, exactly once. See
// docs/connectors/file.md for its options and what lies in its directory.
#pragma once

#include "connectors/connector.h"

extern const struct connector_ops file_sink_ops;

// SPDX-License-Identifier: Apache-2.0
//
// File source: CSV or JSON lines from files into a topic, exactly once. See docs/connectors/file.md
// for its options.
#pragma once

#include "connectors/connector.h"

extern const struct connector_ops file_source_ops;

// SPDX-License-Identifier: Apache-2.0
//
// Fraud generator: card transactions with three kinds of fraud, by the parameters published in the
// Fraud Detection Handbook (Le Borgne et al.); our own code, seeded: the same options give the same
// transactions. Customers pay at terminals within reach of their home; frauds are large amounts,
// compromised terminals (28 days), and stolen cards (14 days of five-fold amounts).
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fraud_scenario { FRAUD_NONE, FRAUD_AMOUNT, FRAUD_TERMINAL, FRAUD_CARD };

struct fraud_options {
    uint64_t seed;
    uint32_t days, customers, terminals;
    int64_t start_ms; // midnight of the first day
};

struct fraud_tx {
    int64_t ts; // epoch ms, whole seconds
    uint32_t customer, terminal;
    uint32_t cents;
    uint8_t scenario; // != FRAUD_NONE: a fraud
};

// In order of time; ties in order of customer. Moved out: free(). *n may be 0.
struct fraud_tx *fraud_generate(const struct fraud_options *, size_t *n);

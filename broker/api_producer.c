// SPDX-License-Identifier: Apache-2.0
//
// InitProducerId: a fresh idempotent producer, or the next epoch of a transactional one. A client
// that names its old id and epoch (version 3) gets the same: without a transactional id a fresh
// producer is always right, with one the broker bumps and fences.
#include "broker/api.h"

enum { TRANSACTIONAL_ID_SIZE = 256 };

enum api_result api_producer_start(struct api_call *call)
{
    struct slice id = wire_string(&call->in);
    int32_t timeout_ms = wire_i32(&call->in);
    if (call->version >= 3) {
        wire_i64(&call->in);
        wire_i16(&call->in);
    }
    wire_tags(&call->in);
    if (call->in.c.failed)
        return API_CLOSE;
    char name[TRANSACTIONAL_ID_SIZE];
    int64_t producer = -1;
    int16_t epoch = -1;
    enum broker_error error;
    if (id.p != NULL && (id.n == 0 || !wire_cstr(id, name, sizeof(name))))
        error = BROKER_INVALID_REQUEST;
    else if (id.p != NULL && timeout_ms <= 0)
        error = BROKER_INVALID_TRANSACTION_TIMEOUT;
    else
        error = broker_producer_init(call->api->broker, id.p == NULL ? NULL : name, timeout_ms,
                                     &producer, &epoch);
    wire_put_i32(&call->out, 0);
    wire_put_i16(&call->out, (int16_t)error);
    wire_put_i64(&call->out, error == BROKER_OK ? producer : -1);
    wire_put_i16(&call->out, error == BROKER_OK ? epoch : -1);
    wire_put_tags(&call->out);
    return API_ANSWERED;
}

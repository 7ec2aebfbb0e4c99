// SPDX-License-Identifier: Apache-2.0
//
// Only the first stage is used, through the interface between simdjson's stages (its
// internal::dom_parser_implementation). No exceptions: nothing here may throw but for lack of
// memory, which is fatal.
#include "formats/json_shim.h"

#include <cstdlib>
#include <memory>
#include <new>

#include "simdjson.h"

struct json_shim {
    std::unique_ptr<simdjson::internal::dom_parser_implementation> parser;
};

enum { SMALLEST = 4096, DEPTH = 1 };

static bool grow(json_shim *s, size_t n)
{
    size_t size = SMALLEST;
    while (size <= n) // the stage wants more capacity than text
        size *= 2;
    if (size > simdjson::SIMDJSON_MAXSIZE_BYTES)
        size = simdjson::SIMDJSON_MAXSIZE_BYTES;
    if (s->parser != nullptr)
        return s->parser->allocate(size, DEPTH) == simdjson::SUCCESS;
    return simdjson::get_active_implementation()->create_dom_parser_implementation(
               size, DEPTH, s->parser) == simdjson::SUCCESS;
}

struct json_shim *json_shim_new(void)
{
    json_shim *s = new (std::nothrow) json_shim();
    if (s == nullptr || !grow(s, 0))
        std::abort();
    return s;
}

void json_shim_free(struct json_shim *s)
{
    delete s;
}

int64_t json_shim_index(struct json_shim *s, const uint8_t *text, uint32_t n,
                        const uint32_t **positions)
{
    if (n >= s->parser->capacity() && !grow(s, n))
        std::abort();
    if (s->parser->stage1(text, n, simdjson::stage1_mode::regular) != simdjson::SUCCESS)
        return -1;
    *positions = s->parser->structural_indexes.get();
    return s->parser->n_structural_indexes;
}

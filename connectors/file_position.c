// SPDX-License-Identifier: Apache-2.0
#include "connectors/file_position.h"

#include "connectors/json_map.h"

#include <inttypes.h>

// Hashes, devices and inodes use all 64 bits, more than a JSON reader may keep in a number, so they
// are written as hexadecimal text.
static void put_id(const struct file_id *id, struct buf *out)
{
    buf_printf(out,
               "{\"device\":\"%" PRIx64 "\",\"inode\":\"%" PRIx64 "\",\"fingerprint\":\"%016" PRIx64
               "\",\"covers\":%u}",
               id->device, id->inode, id->fingerprint, id->covers);
}

void file_position_init(struct file_position *p)
{
    memset(p, 0, sizeof *p);
    p->max_time = p->watermark = INT64_MIN;
}

static void put_time(const char *name, int64_t ms, struct buf *out)
{
    if (ms == INT64_MIN)
        buf_printf(out, ",\"%s\":null", name);
    else
        buf_printf(out, ",\"%s\":%" PRId64, name, ms);
}

void file_position_encode(const struct file_position *p, struct buf *out)
{
    buf_str(out, "{\"version\":1,\"path\":");
    value_json_string(slice_str(p->path), out);
    buf_str(out, ",\"file\":");
    put_id(&p->id, out);
    buf_printf(out, ",\"byte\":%" PRId64 ",\"line\":%" PRId64 ",\"row\":%" PRId64, p->byte, p->line,
               p->row);
    buf_printf(out, ",\"header\":\"%016" PRIx64 "\"", p->header);
    put_time("max_time", p->max_time, out);
    put_time("watermark", p->watermark, out);
    buf_printf(out, ",\"ended\":%s,\"rotated\":[", p->ended ? "true" : "false");
    for (uint32_t i = 0; i < p->rotated_count; i++) {
        if (i > 0)
            buf_u8(out, ',');
        put_id(&p->rotated[i], out);
    }
    buf_str(out, "]}");
}

static bool get_time(const struct value *map, const char *name, int64_t *out)
{
    const struct value *v = json_map_get(map, name);
    *out = INT64_MIN;
    return v != NULL && (v->type == VALUE_NULL || json_map_int(map, name, out));
}

static bool get_id(const struct value *v, struct file_id *id)
{
    int64_t covers;
    if (!json_map_hex(v, "device", &id->device) || !json_map_hex(v, "inode", &id->inode) ||
        !json_map_hex(v, "fingerprint", &id->fingerprint) || !json_map_int(v, "covers", &covers) ||
        covers < 0 || covers > FILE_ID_BYTES)
        return false;
    id->covers = (uint32_t)covers;
    return true;
}

static bool get_rotated(const struct value *v, struct file_position *p)
{
    if (v == NULL || v->type != VALUE_LIST || v->count > FILE_POSITION_ROTATED)
        return false;
    for (uint32_t i = 0; i < v->count; i++)
        if (!get_id(&v->items[i], &p->rotated[i]))
            return false;
    p->rotated_count = v->count;
    return true;
}

static bool get_all(const struct value *v, struct file_position *p)
{
    const struct value *path = json_map_get(v, "path"), *ended = json_map_get(v, "ended");
    int64_t version;
    if (!json_map_int(v, "version", &version) || version != 1 || path == NULL ||
        path->type != VALUE_STRING || path->s.n >= sizeof p->path || ended == NULL ||
        ended->type != VALUE_BOOL)
        return false;
    memcpy(p->path, path->s.p, path->s.n);
    p->path[path->s.n] = 0;
    p->ended = ended->b;
    return get_id(json_map_get(v, "file"), &p->id) && json_map_int(v, "byte", &p->byte) &&
           p->byte >= 0 && json_map_int(v, "line", &p->line) && json_map_int(v, "row", &p->row) &&
           p->row >= 0 && json_map_hex(v, "header", &p->header) &&
           get_time(v, "max_time", &p->max_time) && get_time(v, "watermark", &p->watermark) &&
           get_rotated(json_map_get(v, "rotated"), p);
}

int file_position_decode(struct slice json, struct file_position *out, struct err *e)
{
    struct arena a;
    arena_init(&a);
    struct value v;
    file_position_init(out);
    int rc = json_map_parse(json, &a, &v, e);
    if (rc != 0 || !get_all(&v, out))
        rc = err_set(e, ERR_CORRUPT, "not a file position: %.*s", json.n > 200 ? 200 : (int)json.n,
                     (const char *)json.p);
    arena_release(&a);
    return rc;
}

void file_position_rotate(struct file_position *p, const struct file_id *id)
{
    memmove(&p->rotated[1], &p->rotated[0], (FILE_POSITION_ROTATED - 1) * sizeof p->rotated[0]);
    p->rotated[0] = *id;
    if (p->rotated_count < FILE_POSITION_ROTATED)
        p->rotated_count++;
}

bool file_position_is_rotated(const struct file_position *p, int fd)
{
    for (uint32_t i = 0; i < p->rotated_count; i++)
        if (file_id_matches(fd, &p->rotated[i]) == 1)
            return true;
    return false;
}

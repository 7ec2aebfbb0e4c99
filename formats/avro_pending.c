#include "formats/avro.h"
#include "formats/doc_impl.h"
int avro_plan(struct plan *p, const struct schema *own, const struct schema *writer, struct err *e)
{
    (void)p;
    (void)own;
    (void)writer;
    return err_set(e, ERR_UNSUPPORTED, "format avro is not in this build yet");
}
int schema_from_avro(struct slice json, struct arena *a, struct schema **out, struct err *e)
{
    (void)json;
    (void)a;
    (void)out;
    return err_set(e, ERR_UNSUPPORTED, "format avro is not in this build yet");
}
int doc_avro_index(struct doc *d, struct err *e)
{
    (void)d;
    return err_set(e, ERR_UNSUPPORTED, "format avro is not in this build yet");
}
int doc_encode_avro(struct doc *d, const struct plan *p, struct buf *out, struct err *e)
{
    (void)d;
    (void)p;
    (void)out;
    return err_set(e, ERR_UNSUPPORTED, "format avro is not in this build yet");
}

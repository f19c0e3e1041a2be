/* What a component in C exports: the interfaces of wit/objective.wit, on top of the author's `alft_plugin`.
 *
 * `alft plugin build` compiles it with the author's file, for wasm32, and with one of ALFT_READER, ALFT_VERIFIER and
 * ALFT_OBJECTIVE defined for each role. The records here are those of the contract as the canonical ABI lays them out:
 * a record is a struct, a list its pointer and length, an option and a result a byte and then the value. Where they are
 * the header's own (text, on wasm32) they are used as they come. Arguments of functions come flattened.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "alft.h"

#define EXPORT(name) __attribute__((export_name(name)))

/* ---- Memory: all of a call's is let go after it. ---- */

typedef struct block { struct block *next; size_t size; _Alignas(16) uint8_t bytes[]; } block;

static block *blocks;

static void *allocate(size_t count, size_t each)
{
    size_t size;
    block *new;
    if (__builtin_mul_overflow(count, each, &size) || size > SIZE_MAX - sizeof(block)) __builtin_trap();
    if (!(new = malloc(sizeof(block) + size))) __builtin_trap();
    *new = (block){.next = blocks, .size = size};
    blocks = new;
    return new->bytes;
}

/* How the host asks for room for arguments. */
EXPORT("cabi_realloc") void *cabi_realloc(void *old, size_t old_size, size_t align, size_t size)
{
    (void)align; /* at most 8: blocks have 16 */
    void *new = allocate(size, 1);
    if (old_size) memcpy(new, old, old_size < size ? old_size : size);
    return new;
}

static void let_go(void)
{
    while (blocks) {
        block *next = blocks->next;
        free(blocks);
        blocks = next;
    }
}

/* An empty text comes with whatever pointer, and the header's null means "none". */
static alft_str text(alft_str s)
{
    return s.len ? s : (alft_str){(const uint8_t *)"", 0};
}

static alft_str copy(alft_str s)
{
    uint8_t *bytes = allocate(s.len, 1);
    if (s.len) memcpy(bytes, s.ptr, s.len);
    return (alft_str){bytes, s.len};
}

static alft_str *texts(alft_str *list, size_t len)
{
    for (size_t i = 0; i < len; i++) list[i] = text(list[i]);
    return list;
}

/* ---- What the author's code may call. ---- */

__attribute__((import_module("alft:objective/diagnostics@1.0.0"), import_name("log")))
void diagnostics_log(uint32_t level, const uint8_t *ptr, size_t len);

typedef struct option_str { uint8_t some; alft_str value; } option_str;

/* What a call has said so far. */
typedef struct call { alft_str failure; option_str *keys; size_t keys_len, keys_wanted; } call;

static void on_log(void *context, uint32_t level, alft_str message)
{
    (void)context;
    diagnostics_log(level < 3 ? level : 3, message.ptr, message.len);
}

static void on_fail(void *context, alft_str message)
{
    ((call *)context)->failure = copy(message);
}

static void on_key(void *context, alft_str key)
{
    call *said = context;
    if (said->keys_len < said->keys_wanted)
        said->keys[said->keys_len] = key.ptr ? (option_str){1, copy(key)} : (option_str){0};
    said->keys_len++;
}

static alft_host host(call *said)
{
    return (alft_host){.size = sizeof(alft_host), .context = said, .log = on_log, .fail = on_fail, .key = on_key};
}

static alft_str literal(const char *words)
{
    return (alft_str){(const uint8_t *)words, strlen(words)};
}

static alft_str why(const call *said)
{
    return said->failure.ptr ? said->failure : literal("the plugin failed and did not say why");
}

/* ---- about ---- */

typedef struct { alft_str name, version, summary;
                 struct { uint8_t some; double low, high; } score_range;
                 uint8_t concave, gradient, needs_reference; } wit_manifest;
typedef struct { uint8_t error; union { wit_manifest manifest; alft_str message; }; } described;
_Static_assert(sizeof(wit_manifest) == 56 && sizeof(described) == 64, "the canonical ABI's layout");

/* The first role of plugin.toml that the author's struct does not have. */
static const char *missing_role(const alft_plugin *plugin)
{
    (void)plugin;
#ifdef ALFT_READER
    if (!plugin->read) return "plugin.toml names the role reader, and alft_plugin.read is NULL";
#endif
#ifdef ALFT_VERIFIER
    if (!plugin->score) return "plugin.toml names the role verifier, and alft_plugin.score is NULL";
#endif
#ifdef ALFT_OBJECTIVE
    if (!plugin->evaluate) return "plugin.toml names the role objective, and alft_plugin.evaluate is NULL";
#endif
    return NULL;
}

EXPORT("alft:objective/about@1.0.0#describe") described *about_describe(const uint8_t *config, size_t config_len)
{
    call said = {0};
    alft_host hears = host(&said);
    alft_manifest m = {.size = sizeof m, .score_low = NAN, .score_high = NAN};
    described *reply = memset(allocate(1, sizeof *reply), 0, sizeof *reply);
    const char *missing = missing_role(alft_plugin_v1());
    if (missing || alft_plugin_v1()->describe(&hears, text((alft_str){config, config_len}), &m) != ALFT_OK) {
        reply->error = 1;
        reply->message = missing ? literal(missing) : why(&said);
        return reply;
    }
    reply->manifest = (wit_manifest){
        m.name, m.version, m.summary,
        {!isnan(m.score_low) || !isnan(m.score_high), m.score_low, m.score_high},
        m.concave != 0, m.gradient != 0, m.needs_reference != 0,
    };
    return reply;
}

EXPORT("cabi_post_alft:objective/about@1.0.0#describe") void after_describe(described *reply)
{
    (void)reply;
    let_go();
}

/* ---- Prompts and questions, for all roles. ---- */

typedef struct { alft_str id, text; option_str gold; alft_str metadata; } wit_prompt;
typedef struct { wit_prompt prompt; alft_str *texts; size_t texts_len; } wit_question;
typedef struct { void *ptr; size_t len; } wit_list;
typedef struct { uint8_t error; union { wit_list values; alft_str message; }; } listed;
_Static_assert(sizeof(wit_prompt) == 36 && sizeof(wit_question) == 44 && sizeof(listed) == 12, "the canonical ABI's layout");

static inline alft_prompt prompt(const wit_prompt *p)
{
    alft_str gold = p->gold.some ? text(p->gold.value) : (alft_str){0};
    return (alft_prompt){text(p->id), text(p->text), gold, text(p->metadata)};
}

static inline alft_question *questions(const wit_question *batch, size_t len, size_t *total)
{
    alft_question *out = allocate(len, sizeof *out);
    *total = 0;
    for (size_t i = 0; i < len; i++) {
        out[i] = (alft_question){prompt(&batch[i].prompt), texts(batch[i].texts, batch[i].texts_len), batch[i].texts_len};
        *total += batch[i].texts_len;
    }
    return out;
}

static inline listed *list_reply(int32_t status, const call *said, void *values, size_t len)
{
    listed *reply = allocate(1, sizeof *reply);
    if (status == ALFT_OK)
        *reply = (listed){.values = {values, len}};
    else
        *reply = (listed){.error = 1, .message = why(said)};
    return reply;
}

/* ---- reader ---- */

#ifdef ALFT_READER
EXPORT("alft:objective/reader@1.0.0#read")
listed *reader_read(const uint8_t *config, size_t config_len, wit_question *batch, size_t len)
{
    call said = {0};
    alft_host hears = host(&said);
    alft_question *asked = questions(batch, len, &said.keys_wanted);
    said.keys = allocate(said.keys_wanted, sizeof *said.keys);
    int32_t status = alft_plugin_v1()->read(&hears, text((alft_str){config, config_len}), asked, len);
    if (status == ALFT_OK && said.keys_len != said.keys_wanted) {
        status = ALFT_FAILED;
        said.failure = literal("read did not call alft_host.key once for each completion");
    }
    wit_list *keys = allocate(len, sizeof *keys);
    for (size_t i = 0, at = 0; i < len; at += asked[i].texts_len, i++)
        keys[i] = (wit_list){said.keys + at, asked[i].texts_len};
    return list_reply(status, &said, keys, len);
}

EXPORT("cabi_post_alft:objective/reader@1.0.0#read") void after_read(listed *reply)
{
    (void)reply;
    let_go();
}
#endif

/* ---- verifier ---- */

#ifdef ALFT_VERIFIER
EXPORT("alft:objective/verifier@1.0.0#score")
listed *verifier_score(const uint8_t *config, size_t config_len, wit_question *batch, size_t len)
{
    call said = {0};
    alft_host hears = host(&said);
    size_t total;
    alft_question *asked = questions(batch, len, &total);
    /* A score that the author forgets to write is NaN, which the host refuses. */
    double *scores = allocate(total, sizeof *scores);
    for (size_t i = 0; i < total; i++) scores[i] = NAN;
    int32_t status = alft_plugin_v1()->score(&hears, text((alft_str){config, config_len}), asked, len, scores);
    wit_list *by_question = allocate(len, sizeof *by_question);
    for (size_t i = 0, at = 0; i < len; at += asked[i].texts_len, i++)
        by_question[i] = (wit_list){scores + at, asked[i].texts_len};
    return list_reply(status, &said, by_question, len);
}

EXPORT("cabi_post_alft:objective/verifier@1.0.0#score") void after_score(listed *reply)
{
    (void)reply;
    let_go();
}
#endif

/* ---- objective ---- */

#ifdef ALFT_OBJECTIVE
typedef struct { alft_str key; uint32_t count; double *scores; size_t scores_len;
                 double frequency, leave_one_out, surprisal, pooled_surprisal, reference_probability,
                        pooled_reference_probability; } wit_answer;
typedef struct { wit_prompt prompt; uint32_t size; wit_answer *answers; size_t answers_len; } wit_group;
typedef struct { alft_str id; alft_str *verifiers; size_t verifiers_len; double multiplier; uint8_t exact;
                 wit_group *groups; size_t groups_len; } wit_bundle;
typedef struct { double utility; wit_list rewards; struct { uint8_t some; double value; } violation; } wit_valuation;
_Static_assert(sizeof(wit_answer) == 72 && sizeof(wit_group) == 48, "the canonical ABI's layout");
_Static_assert(sizeof(wit_bundle) == 40 && sizeof(wit_valuation) == 32, "the canonical ABI's layout");

static alft_group group(const wit_group *g)
{
    alft_answer *answers = allocate(g->answers_len, sizeof *answers);
    for (size_t i = 0; i < g->answers_len; i++) {
        const wit_answer *a = &g->answers[i];
        answers[i] = (alft_answer){text(a->key), a->count, a->scores, a->frequency, a->leave_one_out, a->surprisal,
                                   a->pooled_surprisal, a->reference_probability, a->pooled_reference_probability};
    }
    return (alft_group){prompt(&g->prompt), g->size, answers, g->answers_len};
}

static alft_bundle bundle(const wit_bundle *b)
{
    alft_group *groups = allocate(b->groups_len, sizeof *groups);
    for (size_t i = 0; i < b->groups_len; i++) groups[i] = group(&b->groups[i]);
    return (alft_bundle){text(b->id), texts(b->verifiers, b->verifiers_len), b->verifiers_len, b->multiplier, b->exact,
                         groups, b->groups_len};
}

EXPORT("alft:objective/objective@1.0.0#evaluate")
listed *objective_evaluate(const uint8_t *config, size_t config_len, wit_bundle *batch, size_t len)
{
    call said = {0};
    alft_host hears = host(&said);
    alft_bundle *asked = allocate(len, sizeof *asked);
    size_t total = 0;
    for (size_t i = 0; i < len; i++) {
        asked[i] = bundle(&batch[i]);
        for (size_t j = 0; j < asked[i].groups_len; j++) total += asked[i].groups[j].answers_len;
    }
    /* NaN is refused by the host where a number must be, and is "none" for a violation. */
    double *utilities = allocate(len, sizeof(double)), *violations = allocate(len, sizeof(double));
    double *rewards = allocate(total, sizeof(double));
    for (size_t i = 0; i < len; i++) utilities[i] = violations[i] = NAN;
    for (size_t i = 0; i < total; i++) rewards[i] = NAN;
    alft_str configuration = text((alft_str){config, config_len});
    int32_t status = alft_plugin_v1()->evaluate(&hears, configuration, asked, len, utilities, violations, rewards);

    wit_valuation *valuations = allocate(len, sizeof *valuations);
    for (size_t i = 0; i < len; i++) {
        wit_list *groups = allocate(asked[i].groups_len, sizeof *groups);
        for (size_t j = 0; j < asked[i].groups_len; j++) {
            groups[j] = (wit_list){rewards, asked[i].groups[j].answers_len};
            rewards += groups[j].len;
        }
        valuations[i] = (wit_valuation){utilities[i], {groups, asked[i].groups_len}, {!isnan(violations[i]), violations[i]}};
    }
    return list_reply(status, &said, valuations, len);
}

EXPORT("cabi_post_alft:objective/objective@1.0.0#evaluate") void after_evaluate(listed *reply)
{
    (void)reply;
    let_go();
}
#endif

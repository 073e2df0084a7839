// A measuring station on libmongoc: main and two branches at once, from one thread each and a pool of clients.
//
// ARGON_URI names the server. ARGON_COMPARE_URI may name a real mongod, which then plays all but the branches, so
// that no expectation is a guess.

#include <mongoc/mongoc.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t counting = PTHREAD_MUTEX_INITIALIZER;
static int checks;

static void wrong(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    printf("WRONG ");
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
    fflush(stdout);
    exit(1);
}

static void yes(const char *what, bool right) {
    if (!right) wrong("%s", what);
    pthread_mutex_lock(&counting);
    checks++;
    pthread_mutex_unlock(&counting);
}

static void number(const char *what, int64_t got, int64_t want) {
    if (got != want) wrong("%s: got %lld, want %lld", what, (long long)got, (long long)want);
    yes(what, true);
}

static void done(const char *section) {
    pthread_mutex_lock(&counting);
    printf("  %s: %d checks\n", section, checks);
    fflush(stdout);
    checks = 0;
    pthread_mutex_unlock(&counting);
}

// Checks that a call failed with `code`, or with any if it is 0, and a message that contains `text`.
static void failed(const char *what, bool ok, const bson_error_t *error, uint32_t code, const char *text) {
    if (ok) wrong("%s: did not fail", what);
    if (code != 0 && error->code != code) wrong("%s: code %u (%s), want %u", what, error->code, error->message, code);
    if (text != NULL && strstr(error->message, text) == NULL) wrong("%s: no '%s' in: %s", what, text, error->message);
    yes(what, true);
}

static void good(const char *what, bool ok, const bson_error_t *error) {
    if (!ok) wrong("%s: %u %s", what, error->code, error->message);
    yes(what, true);
}

// The document that `json` is, with every %d replaced by the next argument, an int.
static bson_t *doc(const char *json, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, json);
    vsnprintf(text, sizeof text, json, arguments);
    va_end(arguments);
    bson_error_t error;
    bson_t *bson = bson_new_from_json((const uint8_t *)text, -1, &error);
    if (bson == NULL) wrong("%s: %s", text, error.message);
    return bson;
}

static int64_t field(const bson_t *bson, const char *path) {
    bson_iter_t iter, found;
    if (!bson_iter_init(&iter, bson) || !bson_iter_find_descendant(&iter, path, &found)) {
        char *text = bson_as_relaxed_extended_json(bson, NULL);
        wrong("no %s in %s", path, text);
    }
    return bson_iter_as_int64(&found);
}

static int64_t count(mongoc_collection_t *collection, const char *filter_json) {
    bson_error_t error;
    bson_t *filter = doc(filter_json);
    int64_t n = mongoc_collection_count_documents(collection, filter, NULL, NULL, NULL, &error);
    if (n < 0) wrong("count %s: %s", filter_json, error.message);
    bson_destroy(filter);
    return n;
}

// Reads a cursor to its end and adds up `path` of its documents; answers how many there were.
static int64_t drain(mongoc_cursor_t *cursor, const char *path, int64_t *sum) {
    const bson_t *each;
    bson_error_t error;
    int64_t n = 0;
    while (mongoc_cursor_next(cursor, &each)) {
        n++;
        if (sum != NULL) *sum += field(each, path);
    }
    if (mongoc_cursor_error(cursor, &error)) wrong("cursor: %u %s", error.code, error.message);
    mongoc_cursor_destroy(cursor);
    return n;
}

static bool command(mongoc_client_t *client, const char *database, const char *json, bson_t *reply, bson_error_t *error) {
    bson_t *request = doc("%s", json);
    bool ok = mongoc_client_command_simple(client, database, request, NULL, reply, error);
    bson_destroy(request);
    return ok;
}

static void crud(mongoc_client_t *client, const char *database) {
    mongoc_collection_t *c = mongoc_client_get_collection(client, database, "readings");
    bson_error_t error;
    bson_t reply, *one, *two;

    // 5,000 documents in one call.
    bson_t **many = calloc(5000, sizeof *many);
    for (int i = 0; i < 5000; i++) many[i] = doc("{\"_id\": %d, \"station\": %d, \"v\": %d}", i, i % 7, i % 100);
    good("insert_many", mongoc_collection_insert_many(c, (const bson_t **)many, 5000, NULL, &reply, &error), &error);
    number("insertedCount", field(&reply, "insertedCount"), 5000);
    bson_destroy(&reply);
    for (int i = 0; i < 5000; i++) bson_destroy(many[i]);
    free(many);
    number("count", count(c, "{\"station\": 3}"), 714);

    // Fifty batches, and a cursor that is closed early.
    one = doc("{}");
    two = doc("{\"batchSize\": 100, \"sort\": {\"_id\": -1}, \"projection\": {\"v\": 1}}");
    int64_t sum = 0;
    number("cursor over batches", drain(mongoc_collection_find_with_opts(c, one, two, NULL), "v", &sum), 5000);
    number("sum", sum, 247500);
    mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(c, one, two, NULL);
    const bson_t *first;
    yes("first", mongoc_cursor_next(cursor, &first));
    number("sorted", field(first, "_id"), 4999);
    int64_t id = mongoc_cursor_get_id(cursor);
    yes("cursor id", id != 0);
    mongoc_cursor_destroy(cursor);
    char text[200];
    snprintf(text, sizeof text, "{\"getMore\": {\"$numberLong\": \"%lld\"}, \"collection\": \"readings\"}", (long long)id);
    failed("closed cursor", command(client, database, text, &reply, &error), &error, 43, NULL);
    bson_destroy(&reply);
    bson_destroy(one);
    bson_destroy(two);

    // Updates and deletes.
    one = doc("{\"station\": 1}");
    two = doc("{\"$inc\": {\"v\": 1000}, \"$push\": {\"log\": \"c\"}}");
    good("update_many", mongoc_collection_update_many(c, one, two, NULL, &reply, &error), &error);
    number("modifiedCount", field(&reply, "modifiedCount"), 715);
    bson_destroy(&reply);
    bson_destroy(one);
    bson_destroy(two);
    one = doc("{\"_id\": \"up\"}");
    two = doc("{\"$set\": {\"v\": 1}}");
    bson_t *upsert = doc("{\"upsert\": true}");
    good("upsert", mongoc_collection_update_one(c, one, two, upsert, &reply, &error), &error);
    number("upsertedCount", field(&reply, "upsertedCount"), 1);
    bson_destroy(&reply);
    bson_destroy(two);
    two = doc("{\"v\": 2}");
    good("replace_one", mongoc_collection_replace_one(c, one, two, NULL, NULL, &error), &error);
    number("replaced", count(c, "{\"_id\": \"up\", \"v\": 2}"), 1);
    good("delete_one", mongoc_collection_delete_one(c, one, NULL, &reply, &error), &error);
    number("deletedCount", field(&reply, "deletedCount"), 1);
    bson_destroy(&reply);
    bson_destroy(one);
    bson_destroy(two);
    bson_destroy(upsert);

    // findAndModify.
    mongoc_find_and_modify_opts_t *options = mongoc_find_and_modify_opts_new();
    one = doc("{\"$inc\": {\"v\": 5}}");
    two = doc("{\"_id\": 7}");
    mongoc_find_and_modify_opts_set_update(options, one);
    mongoc_find_and_modify_opts_set_flags(options, MONGOC_FIND_AND_MODIFY_RETURN_NEW);
    good("findAndModify", mongoc_collection_find_and_modify_with_opts(c, two, options, &reply, &error), &error);
    number("its value", field(&reply, "value.v"), 12);
    bson_destroy(&reply);
    bson_destroy(one);
    bson_destroy(two);
    mongoc_find_and_modify_opts_destroy(options);

    // Aggregation.
    one = doc("{\"pipeline\": [{\"$group\": {\"_id\": \"$station\", \"n\": {\"$sum\": 1}}}, {\"$sort\": {\"_id\": 1}}, {\"$skip\": 1}]}");
    sum = 0;
    number("$group", drain(mongoc_collection_aggregate(c, MONGOC_QUERY_NONE, one, NULL, NULL), "n", &sum), 6);
    number("$sum", sum, 5000 - 715);
    bson_destroy(one);
    one = doc("{\"pipeline\": [{\"$match\": {\"_id\": {\"$lt\": 3}}}, {\"$lookup\": {\"from\": \"readings\", \"localField\": \"v\","
              " \"foreignField\": \"v\", \"as\": \"same\"}}, {\"$project\": {\"n\": {\"$size\": \"$same\"}}}]}");
    sum = 0;
    number("$lookup", drain(mongoc_collection_aggregate(c, MONGOC_QUERY_NONE, one, NULL, NULL), "n", &sum), 3);
    number("its matches", sum, count(c, "{\"v\": 0}") + count(c, "{\"v\": 1001}") + count(c, "{\"v\": 2}"));
    bson_destroy(one);
    mongoc_collection_destroy(c);
}

static void bulk(mongoc_client_t *client, const char *database) {
    mongoc_collection_t *c = mongoc_client_get_collection(client, database, "bulk");
    bson_error_t error;
    bson_t reply;
    for (int ordered = 0; ordered < 2; ordered++) {
        bson_t options = BSON_INITIALIZER;
        BSON_APPEND_BOOL(&options, "ordered", ordered);
        mongoc_bulk_operation_t *operation = mongoc_collection_create_bulk_operation_with_opts(c, &options);
        int ids[] = {1, 2, 1, 3};
        for (int i = 0; i < 4; i++) {
            bson_t *document = doc("{\"_id\": %d}", ids[i] + 10 * ordered);
            mongoc_bulk_operation_insert(operation, document);
            bson_destroy(document);
        }
        uint32_t ok = mongoc_bulk_operation_execute(operation, &reply, &error);
        failed("duplicate in a bulk", ok != 0, &error, 11000, "E11000 duplicate key error collection: ");
        number("nInserted", field(&reply, "nInserted"), ordered ? 2 : 3);
        number("its index", field(&reply, "writeErrors.0.index"), 2);
        number("its code", field(&reply, "writeErrors.0.code"), 11000);
        bson_destroy(&reply);
        mongoc_bulk_operation_destroy(operation);
        bson_destroy(&options);
    }
    number("ordered stopped", count(c, "{\"_id\": {\"$gte\": 10}}"), 2);
    mongoc_collection_destroy(c);
}

static void indexes(mongoc_client_t *client, const char *database) {
    mongoc_collection_t *c = mongoc_client_get_collection(client, database, "indexed");
    bson_error_t error;
    bson_t reply;
    char text[300];
    snprintf(text, sizeof text, "{\"createIndexes\": \"indexed\", \"indexes\": [{\"key\": {\"mail\": 1}, \"name\": \"mail\", \"unique\": true},"
                                " {\"key\": {\"a\": 1, \"b\": -1}, \"name\": \"ab\"}]}");
    good("createIndexes", command(client, database, text, &reply, &error), &error);
    bson_destroy(&reply);
    number("list", drain(mongoc_collection_find_indexes_with_opts(c, NULL), "v", NULL), 3);
    bson_t *one = doc("{\"_id\": 1, \"mail\": \"x@y\"}"), *two = doc("{\"_id\": 2, \"mail\": \"x@y\"}");
    good("insert_one", mongoc_collection_insert_one(c, one, NULL, NULL, &error), &error);
    failed("unique", mongoc_collection_insert_one(c, two, NULL, &reply, &error), &error, 11000, "index: mail dup key: { mail: \"x@y\" }");
    number("keyPattern", field(&reply, "writeErrors.0.keyPattern.mail"), 1);
    bson_destroy(&reply);
    good("drop_index", mongoc_collection_drop_index(c, "ab", &error), &error);
    failed("dropped twice", mongoc_collection_drop_index(c, "ab", &error), &error, 27, NULL);
    bson_destroy(one);
    bson_destroy(two);

    failed("unknown command", command(client, database, "{\"frobnicate\": 1}", &reply, &error), &error, 59, "no such command: 'frobnicate'");
    bson_destroy(&reply);
    failed("unknown field", command(client, database, "{\"find\": \"indexed\", \"frob\": 1}", &reply, &error), &error, 40415, NULL);
    bson_destroy(&reply);
    failed("unknown operator", command(client, database, "{\"find\": \"indexed\", \"filter\": {\"a\": {\"$frob\": 1}}}", &reply, &error), &error, 2, "$frob");
    bson_destroy(&reply);
    mongoc_collection_destroy(c);
}

static void sessions(mongoc_client_t *client, const char *database) {
    mongoc_collection_t *c = mongoc_client_get_collection(client, database, "sessions");
    bson_error_t error;
    mongoc_client_session_t *session = mongoc_client_start_session(client, NULL, &error);
    if (session == NULL) wrong("session: %s", error.message);
    bson_t options = BSON_INITIALIZER, *one = doc("{\"_id\": 1}");
    good("session", mongoc_client_session_append(session, &options, &error), &error);
    good("insert in a session", mongoc_collection_insert_one(c, one, &options, NULL, &error), &error);
    number("read in it", drain(mongoc_collection_find_with_opts(c, one, &options, NULL), "_id", NULL), 1);
    uint32_t time, increment;
    mongoc_client_session_get_operation_time(session, &time, &increment);
    yes("operationTime", time > 0);
    yes("clusterTime", mongoc_client_session_get_cluster_time(session) != NULL);
    mongoc_client_session_destroy(session);
    bson_destroy(&options);
    bson_destroy(one);
    mongoc_collection_destroy(c);
}

// A few megabytes up and down, compared by a checksum (FNV-1a).
static uint64_t checksum(uint64_t hash, const uint8_t *bytes, size_t length) {
    for (size_t i = 0; i < length; i++) hash = (hash ^ bytes[i]) * 1099511628211u;
    return hash;
}

static void files(mongoc_client_t *client, const char *database) {
    enum { SIZE = 3 * 1024 * 1024 + 123 };
    bson_error_t error;
    uint8_t *content = malloc(SIZE);
    uint32_t state = 12345;
    for (int i = 0; i < SIZE; i++) content[i] = (uint8_t)((state = state * 1664525 + 1013904223) >> 24);
    mongoc_database_t *db = mongoc_client_get_database(client, database);
    mongoc_gridfs_bucket_t *bucket = mongoc_gridfs_bucket_new(db, NULL, NULL, &error);
    if (bucket == NULL) wrong("bucket: %s", error.message);
    bson_value_t id;
    mongoc_stream_t *stream = mongoc_gridfs_bucket_open_upload_stream(bucket, "samples", NULL, &id, &error);
    if (stream == NULL) wrong("upload: %s", error.message);
    for (int at = 0; at < SIZE;) {
        int part = SIZE - at < 100000 ? SIZE - at : 100000;
        ssize_t written = mongoc_stream_write(stream, content + at, (size_t)part, 0);
        if (written != part) wrong("wrote %zd of %d bytes", written, part);
        at += part;
    }
    number("close", mongoc_stream_close(stream), 0);
    mongoc_stream_destroy(stream);
    stream = mongoc_gridfs_bucket_open_download_stream(bucket, &id, &error);
    if (stream == NULL) wrong("download: %s", error.message);
    uint8_t buffer[65536];
    uint64_t hash = 14695981039346656037u;
    int64_t total = 0;
    for (ssize_t got; (got = mongoc_stream_read(stream, buffer, sizeof buffer, 1, 0)) > 0; total += got)
        hash = checksum(hash, buffer, (size_t)got);
    number("length", total, SIZE);
    yes("checksum", hash == checksum(14695981039346656037u, content, SIZE));
    mongoc_stream_destroy(stream);
    good("delete", mongoc_gridfs_bucket_delete_by_id(bucket, &id, &error), &error);
    bson_value_destroy(&id);
    mongoc_gridfs_bucket_destroy(bucket);
    mongoc_database_destroy(db);
    free(content);
}

typedef struct {
    mongoc_client_pool_t *pool;
    const char *database;
} work_t;

static void *application(void *argument) {
    work_t *work = argument;
    mongoc_client_t *client = mongoc_client_pool_pop(work->pool);
    crud(client, work->database);
    bulk(client, work->database);
    indexes(client, work->database);
    sessions(client, work->database);
    files(client, work->database);
    mongoc_client_pool_push(work->pool, client);
    return NULL;
}

static void *increment(void *argument) {
    work_t *work = argument;
    mongoc_client_t *client = mongoc_client_pool_pop(work->pool);
    mongoc_collection_t *c = mongoc_client_get_collection(client, work->database, "counter");
    bson_t *filter = doc("{\"_id\": 0}"), *update = doc("{\"$inc\": {\"n\": 1}}");
    bson_error_t error;
    for (int i = 0; i < 50; i++) good("$inc", mongoc_collection_update_one(c, filter, update, NULL, NULL, &error), &error);
    bson_destroy(filter);
    bson_destroy(update);
    mongoc_collection_destroy(c);
    mongoc_client_pool_push(work->pool, client);
    return NULL;
}

static void threads(mongoc_client_pool_t *pool, const char *const *databases, int each, int n) {
    pthread_t thread[32];
    work_t work[3];
    for (int d = 0; d < n; d++) {
        work[d] = (work_t){pool, databases[d]};
        mongoc_client_t *client = mongoc_client_pool_pop(pool);
        mongoc_collection_t *c = mongoc_client_get_collection(client, databases[d], "counter");
        bson_t *zero = doc("{\"_id\": 0, \"n\": 0}");
        bson_error_t error;
        good("counter", mongoc_collection_insert_one(c, zero, NULL, NULL, &error), &error);
        bson_destroy(zero);
        mongoc_collection_destroy(c);
        mongoc_client_pool_push(pool, client);
    }
    for (int i = 0; i < n * each; i++) pthread_create(&thread[i], NULL, increment, &work[i % n]);
    for (int i = 0; i < n * each; i++) pthread_join(thread[i], NULL);
    mongoc_client_t *client = mongoc_client_pool_pop(pool);
    for (int d = 0; d < n; d++) {
        mongoc_collection_t *c = mongoc_client_get_collection(client, databases[d], "counter");
        char filter[50];
        snprintf(filter, sizeof filter, "{\"_id\": 0, \"n\": %d}", each * 50);
        number(databases[d], count(c, filter), 1);
        mongoc_collection_destroy(c);
    }
    mongoc_client_pool_push(pool, client);
    done("threads");
}

static mongoc_client_pool_t *connect_to(const char *address, const char *options) {
    char text[500];
    bson_error_t error;
    snprintf(text, sizeof text, "%s%s", address, options);
    mongoc_uri_t *uri = mongoc_uri_new_with_error(text, &error);
    if (uri == NULL) wrong("%s: %s", text, error.message);
    mongoc_client_pool_t *pool = mongoc_client_pool_new(uri);
    mongoc_client_pool_set_error_api(pool, MONGOC_ERROR_API_VERSION_2);
    mongoc_uri_destroy(uri);
    return pool;
}

static void compression(const char *address, const char *database) {
    const char *compressors[] = {"zlib", "snappy", "zstd"};
    for (int i = 0; i < 3; i++) {
        char options[50];
        snprintf(options, sizeof options, "?compressors=%s", compressors[i]);
        mongoc_client_pool_t *pool = connect_to(address, options);
        mongoc_client_t *client = mongoc_client_pool_pop(pool);
        mongoc_collection_t *c = mongoc_client_get_collection(client, database, compressors[i]);
        char *text = malloc(50001);
        memset(text, 'a' + i, 50000);
        text[50000] = 0;
        bson_t *document = BCON_NEW("_id", BCON_INT32(i), "text", BCON_UTF8(text));
        bson_error_t error;
        good(compressors[i], mongoc_collection_insert_one(c, document, NULL, NULL, &error), &error);
        const bson_t *back;
        mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(c, document, NULL, NULL);
        yes("found", mongoc_cursor_next(cursor, &back));
        yes("as it was sent", bson_equal(back, document));
        mongoc_cursor_destroy(cursor);
        bson_destroy(document);
        free(text);
        mongoc_collection_destroy(c);
        mongoc_client_pool_push(pool, client);
        mongoc_client_pool_destroy(pool);
    }
    done("compression");
}

// The engine of the branches; only a log has a past to look at.
static const char *engine(void) {
    const char *engine = getenv("ARGON_ENGINE");
    return engine == NULL || *engine == 0 ? "wal" : engine;
}

static bool has_history(void) {
    return strcmp(engine(), "wal") == 0;
}

static void fork_branch(mongoc_client_t *client, const char *name, const char *from, bson_t *reply) {
    bson_error_t error;
    char text[200];
    snprintf(text, sizeof text, "{\"createBranch\": \"%s\", \"from\": \"%s\", \"engine\": \"%s\"}", name, from, engine());
    good("createBranch", command(client, "cstation", text, reply, &error), &error);
}

static void branches(mongoc_client_pool_t *pool) {
    mongoc_client_t *client = mongoc_client_pool_pop(pool);
    bson_error_t error;
    bson_t reply;
    // Threads that run the whole application, on main and two branches that were made before any of it was there.
    if (has_history()) good("createProject", command(client, "cstation", "{\"createProject\": 1}", NULL, &error), &error);
    fork_branch(client, "left", "main", NULL);
    fork_branch(client, "right", "main", NULL);
    const char *databases[] = {"cstation", "cstation~left", "cstation~right"};
    pthread_t thread[3];
    work_t work[3];
    for (int i = 0; i < 3; i++) {
        work[i] = (work_t){pool, databases[i]};
        pthread_create(&thread[i], NULL, application, &work[i]);
    }
    for (int i = 0; i < 3; i++) pthread_join(thread[i], NULL);
    done("main and two branches at once");
    threads(pool, databases, 4, 3);

    // A branch of what is there now, changed in both directions.
    fork_branch(client, "Later, maybe", "left", &reply);
    bson_iter_t iter;
    yes("database", bson_iter_init_find(&iter, &reply, "database"));
    char later[64];
    snprintf(later, sizeof later, "%s", bson_iter_utf8(&iter, NULL));
    bson_destroy(&reply);
    mongoc_collection_t *parent = mongoc_client_get_collection(client, "cstation~left", "readings");
    mongoc_collection_t *child = mongoc_client_get_collection(client, later, "readings");
    number("as the parent", count(child, "{}"), 5000);
    bson_t *low = doc("{\"_id\": {\"$lt\": 1000}}"), *high = doc("{\"_id\": {\"$gte\": 4000}}"), *set = doc("{\"$set\": {\"child\": 1}}");
    good("delete on the parent", mongoc_collection_delete_many(parent, low, NULL, NULL, &error), &error);
    good("update on the child", mongoc_collection_update_many(child, high, set, NULL, NULL, &error), &error);
    number("parent", count(parent, "{}"), 4000);
    number("nothing of the child", count(parent, "{\"child\": 1}"), 0);
    number("child", count(child, "{}"), 5000);
    number("its change", count(child, "{\"child\": 1}"), 1000);
    failed("parent stays", command(client, "cstation", "{\"dropBranch\": \"left\"}", NULL, &error), &error, 0, NULL);

    // The past, and nowhere.
    good("listBranches", command(client, "cstation", "{\"listBranches\": 1}", &reply, &error), &error);
    char past[64] = "", path[64];
    for (int i = 0; i < 4; i++) {
        bson_iter_t name;
        snprintf(path, sizeof path, "cursor.firstBatch.%d.name", i);
        yes(path, bson_iter_init(&iter, &reply) && bson_iter_find_descendant(&iter, path, &name));
        snprintf(path, sizeof path, "cursor.firstBatch.%d.headLsn", i);
        if (has_history() && strcmp(bson_iter_utf8(&name, NULL), "main") == 0)
            snprintf(past, sizeof past, "cstation~main~%lld", (long long)field(&reply, path));
    }
    bson_destroy(&reply);
    if (has_history()) {
        mongoc_collection_t *then = mongoc_client_get_collection(client, past, "readings");
        number("then", count(then, "{}"), 5000);
        failed("read-only", mongoc_collection_insert_one(then, set, NULL, NULL, &error), &error, 0, NULL);
        mongoc_collection_destroy(then);
    }
    mongoc_collection_t *nowhere = mongoc_client_get_collection(client, "cstation~nowhere", "readings");
    bson_t *any = doc("{}"), *plain = doc("{\"a\": 1}");
    const bson_t *none;
    mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(nowhere, any, NULL, NULL);
    yes("nothing is found nowhere", !mongoc_cursor_next(cursor, &none));
    failed("unknown branch", !mongoc_cursor_error(cursor, &error), &error, 26, "createBranch");
    mongoc_cursor_destroy(cursor);
    failed("unknown branch, write", mongoc_collection_insert_one(nowhere, plain, NULL, NULL, &error), &error, 26, "createBranch");
    bson_destroy(any);
    bson_destroy(plain);
    bson_destroy(low);
    bson_destroy(high);
    bson_destroy(set);
    mongoc_collection_destroy(nowhere);
    mongoc_collection_destroy(child);
    mongoc_collection_destroy(parent);
    mongoc_client_pool_push(pool, client);
    done("branches");
}

int main(void) {
    mongoc_init();
    printf("libmongoc %s\n", mongoc_get_version());
    const char *argon = getenv("ARGON_URI"), *compare = getenv("ARGON_COMPARE_URI");
    bson_error_t error;
    if (compare != NULL && *compare) {
        mongoc_client_pool_t *pool = connect_to(compare, "");
        mongoc_client_t *client = mongoc_client_pool_pop(pool);
        good("drop", command(client, "cstation", "{\"dropDatabase\": 1}", NULL, &error), &error);
        work_t work = {pool, "cstation"};
        application(&work);
        const char *databases[] = {"cstation"};
        threads(pool, databases, 8, 1);
        compression(compare, "cstation");
        good("drop", command(client, "cstation", "{\"dropDatabase\": 1}", NULL, &error), &error);
        mongoc_client_pool_push(pool, client);
        mongoc_client_pool_destroy(pool);
        done("the same on the real mongod");
    }
    if (argon != NULL && *argon) {
        mongoc_client_pool_t *pool = connect_to(argon, "");
        branches(pool);
        mongoc_client_pool_destroy(pool);
        compression(argon, "cstation~left");
    }
    mongoc_cleanup();
    return 0;
}

/* What HTTP requests say, read by api_request.c: everything that is not exactly right is refused.
 */
#include "unit.h"

#include "api_request.h"
#include "limits.h"

/* ---- credentials ------------------------------------------------------------------------- */

static void assert_shown(const char *scheduler_secret, const char *authorization,
                         const char *secret, const char *bearer)
{
    struct api_credentials shown = api_credentials(scheduler_secret, authorization);
    if ((shown.secret && secret) ? strcmp(shown.secret, secret) != 0 : shown.secret != secret)
        fail_msg("X-Scheduler-Secret: %s", shown.secret ? shown.secret : "-");
    if ((shown.bearer && bearer) ? strcmp(shown.bearer, bearer) != 0 : shown.bearer != bearer)
        fail_msg("Authorization: %s", shown.bearer ? shown.bearer : "-");
}

static void either_header_carries_the_secret(void **state)
{
    (void)state;
    assert_shown("abc", NULL, "abc", NULL);
    assert_shown(NULL, "Bearer abc", NULL, "abc");
    assert_shown(NULL, "bearer  abc", NULL, "abc");
}

static void no_usable_secret_is_none(void **state)
{
    (void)state;
    assert_shown(NULL, NULL, NULL, NULL);
    assert_shown("", "Bearer ", NULL, NULL);
    assert_shown("a b", "Basic abc", NULL, NULL);
    assert_shown("a\x01", "abc", NULL, NULL);
}

static void a_header_that_is_not_ours_does_no_harm(void **state)
{
    (void)state;
    assert_shown("abc", "Bearer abd", "abc", "abd");
    assert_shown("abc", "Basic abd", "abc", NULL);
    assert_shown("abc", "Bearer ", "abc", NULL);
    assert_shown("", "Bearer abc", NULL, "abc");
}

static void a_secret_over_4_kib_is_none(void **state)
{
    (void)state;
    char text[API_CREDENTIAL_MAX + 2];
    memset(text, 'a', sizeof text);
    text[API_CREDENTIAL_MAX + 1] = '\0';
    assert_shown(text, NULL, NULL, NULL);
    text[API_CREDENTIAL_MAX] = '\0';
    assert_shown(text, NULL, text, NULL);
}

/* ---- headers ----------------------------------------------------------------------------- */

static void assert_prefer(const char *value, bool respond_async, int wait_s)
{
    struct api_prefer p = api_prefer_parse(value);
    if (p.respond_async != respond_async || p.wait_s != wait_s)
        fail_msg("Prefer: %s is read as async %d, wait %d", value ? value : "-", p.respond_async,
                 p.wait_s);
}

static void preferences_are_read(void **state)
{
    (void)state;
    assert_prefer(NULL, false, -1);
    assert_prefer("", false, -1);
    assert_prefer("respond-async", true, -1);
    assert_prefer("Respond-Async", true, -1);
    assert_prefer("wait=10", false, 10);
    assert_prefer("wait=\"10\"", false, 10);
    assert_prefer("respond-async, wait=10", true, 10);
    assert_prefer(" wait=7 ;x=y , respond-async ", true, 7);
    assert_prefer("wait=1, wait=2", false, 1);
}

static void preferences_not_understood_are_ignored(void **state)
{
    (void)state;
    assert_prefer("handling=lenient", false, -1);
    assert_prefer("respond-asynchronously", false, -1);
    assert_prefer("wait=", false, -1);
    assert_prefer("wait=-1", false, -1);
    assert_prefer("wait=1s", false, -1);
    assert_prefer("wait", false, -1);
    assert_prefer(",,;,", false, -1);
}

static void the_longest_wait_is_bounded(void **state)
{
    (void)state;
    assert_prefer("wait=301", false, HTTP_WAIT_MAX_S);
    assert_prefer("wait=99999999999999999999", false, HTTP_WAIT_MAX_S);
}

static void only_json_is_a_json_type(void **state)
{
    (void)state;
    assert_true(api_is_json_type("application/json"));
    assert_true(api_is_json_type("Application/JSON; charset=utf-8"));
    assert_true(api_is_json_type("application/json ;charset=utf-8"));
    assert_false(api_is_json_type(NULL));
    assert_false(api_is_json_type(""));
    assert_false(api_is_json_type("text/json"));
    assert_false(api_is_json_type("application/jsonp"));
    assert_false(api_is_json_type("application/problem+json"));
}

static void a_key_is_1_to_200_printable_characters(void **state)
{
    (void)state;
    char key[API_KEY_MAX + 2];
    memset(key, 'k', sizeof key);
    key[API_KEY_MAX + 1] = '\0';
    assert_false(api_key_is_valid(key));
    key[API_KEY_MAX] = '\0';
    assert_true(api_key_is_valid(key));
    assert_false(api_key_is_valid(""));
    assert_false(api_key_is_valid("two words"));
}

/* ---- bodies ------------------------------------------------------------------------------ */

static void assert_run(const char *body, enum api_parsed expected, bool manual)
{
    struct api_run_ask ask = {.manual = !manual};
    enum api_parsed parsed = api_parse_run(body, strlen(body), &ask);
    if (parsed != expected || (parsed == API_GOOD && ask.manual != manual))
        fail_msg("%s is read as %d, manual %d", body, parsed, ask.manual);
}

static void an_empty_object_or_no_body_rings(void **state)
{
    (void)state;
    assert_run("", API_GOOD, false);
    assert_run("{}", API_GOOD, false);
    assert_run(" { } ", API_GOOD, false);
}

static void any_member_makes_it_a_manual_run(void **state)
{
    (void)state;
    struct api_run_ask ask;
    static const char body[] = "{ \"shadow\": true, \"evaluation_date\": \"2026-11-21\","
                               " \"scenario_types\": [\"inactivity\"] }";
    assert_run(body, API_GOOD, true);
    assert_run("{\"shadow\":false}", API_GOOD, true);
    assert_int_equal(api_parse_run(body, strlen(body), &ask), API_GOOD);
    assert_string_equal(ask.params, "{\"shadow\":true,\"evaluation_date\":\"2026-11-21\","
                                    "\"scenario_types\":[\"inactivity\"]}");
}

static void what_is_not_json_is_malformed(void **state)
{
    (void)state;
    assert_run("{", API_MALFORMED, false);
    assert_run("shadow=true", API_MALFORMED, false);
    assert_run("{\"shadow\":true,}", API_MALFORMED, false);
    assert_run("{\"shadow\":true,\"shadow\":false}", API_MALFORMED, false);
    assert_run("{} {}", API_MALFORMED, false);
    assert_run("{\"shadow\":\"\xff\"}", API_MALFORMED, false);
}

static void unknown_and_wrong_members_are_refused(void **state)
{
    (void)state;
    assert_run("[]", API_WRONG, false);
    assert_run("{\"job_name\":\"x\"}", API_WRONG, false);
    assert_run("{\"shadow\":1}", API_WRONG, false);
    assert_run("{\"shadow\":null}", API_WRONG, false);
    assert_run("{\"evaluation_date\":20261121}", API_WRONG, false);
    assert_run("{\"evaluation_date\":\"2026-02-29\"}", API_WRONG, false);
    assert_run("{\"scenario_types\":[]}", API_WRONG, false);
    assert_run("{\"scenario_types\":\"inactivity\"}", API_WRONG, false);
    assert_run("{\"scenario_types\":[\"Inactivity\"]}", API_WRONG, false);
    assert_run("{\"scenario_types\":[\"\"]}", API_WRONG, false);
    assert_run("{\"scenario_types\":[7]}", API_WRONG, false);
}

static void more_scenarios_than_the_bound_are_refused(void **state)
{
    (void)state;
    char body[2048] = "{\"scenario_types\":[\"a\"";
    for (int i = 1; i < API_SCENARIOS_MAX; i++)
        strcat(body, ",\"a\"");
    size_t len = strlen(body);
    strcat(body, "]}");
    assert_run(body, API_GOOD, true);
    strcpy(body + len, ",\"a\"]}");
    assert_run(body, API_WRONG, true);
}

static void dates_are_of_the_calendar(void **state)
{
    (void)state;
    assert_true(api_is_date("2026-11-21"));
    assert_true(api_is_date("2024-02-29"));
    assert_true(api_is_date("2000-02-29"));
    assert_false(api_is_date("2100-02-29"));
    assert_false(api_is_date("2026-04-31"));
    assert_false(api_is_date("2026-00-10"));
    assert_false(api_is_date("2026-13-10"));
    assert_false(api_is_date("2026-11-00"));
    assert_false(api_is_date("1969-12-31"));
    assert_false(api_is_date("2026-11-2"));
    assert_false(api_is_date("2026-11-211"));
    assert_false(api_is_date("2026/11/21"));
    assert_false(api_is_date(""));
}

static void assert_job(const char *body, const char *fallback, enum api_parsed expected,
                       const char *name)
{
    char got[API_JOB_NAME_MAX + 1] = "";
    enum api_parsed parsed = api_parse_job_name(body, strlen(body), fallback, got);
    if (parsed != expected || (parsed == API_GOOD && strcmp(got, name) != 0))
        fail_msg("%s is read as %d, job \"%s\"", body, parsed, got);
}

static void forms_name_their_job_or_know_it(void **state)
{
    (void)state;
    assert_job("{\"job_name\":\"a_job\"}", NULL, API_GOOD, "a_job");
    assert_job("", NULL, API_WRONG, "");
    assert_job("{}", NULL, API_WRONG, "");
    assert_job("{\"job_name\":7}", NULL, API_WRONG, "");
    assert_job("{\"job_name\":\"\"}", NULL, API_WRONG, "");
    assert_job("{\"job_name\":\"a\",\"date\":\"x\"}", NULL, API_WRONG, "");
    assert_job("", "mine", API_GOOD, "mine");
    assert_job("{}", "mine", API_GOOD, "mine");
    assert_job("{\"job_name\":\"mine\"}", "mine", API_GOOD, "mine");
    assert_job("{\"job_name\":\"other\"}", "mine", API_WRONG, "");
    assert_job("{\"when\":1}", "mine", API_WRONG, "");
    assert_job("no", "mine", API_MALFORMED, "");
}

static void paused_is_one_boolean_and_nothing_else(void **state)
{
    (void)state;
    bool paused = false;
    assert_int_equal(api_parse_paused("{\"paused\":true}", 15, &paused), API_GOOD);
    assert_true(paused);
    assert_int_equal(api_parse_paused("{\"paused\":false}", 16, &paused), API_GOOD);
    assert_false(paused);
    assert_int_equal(api_parse_paused("{}", 2, &paused), API_WRONG);
    assert_int_equal(api_parse_paused("", 0, &paused), API_WRONG);
    assert_int_equal(api_parse_paused("{\"paused\":\"no\"}", 15, &paused), API_WRONG);
    assert_int_equal(api_parse_paused("{\"paused\":true,\"a\":1}", 21, &paused), API_WRONG);
    assert_int_equal(api_parse_paused("{paused}", 8, &paused), API_MALFORMED);
}

static void assert_contact(const char *body, enum api_parsed parsed)
{
    char date[11] = "";
    if (api_parse_contact(body, strlen(body), date) != parsed)
        fail_msg("%s is not read as %d", body, (int)parsed);
    assert_string_equal(date, parsed == API_GOOD ? "2026-02-28" : "");
}

static void a_contact_date_is_a_date_of_the_calendar(void **state)
{
    (void)state;
    assert_contact("{\"last_contact_date\":\"2026-02-28\"}", API_GOOD);
    assert_contact("{\"last_contact_date\":\"2026-02-29\"}", API_WRONG);
    assert_contact("{\"last_contact_date\":null}", API_WRONG);
    assert_contact("{\"last_contact_date\":\"2026-02-28\",\"x\":1}", API_WRONG);
    assert_contact("{}", API_WRONG);
    assert_contact("{\"last_contact_date\"", API_MALFORMED);
}

static void assert_replay(const char *body, enum api_parsed parsed, const char *params, bool dry)
{
    struct api_replay_ask ask = {.params = NULL};
    if (api_parse_replay(body, strlen(body), &ask) != parsed)
        fail_msg("%s is not read as %d", body, (int)parsed);
    if (parsed != API_GOOD)
        return;
    assert_string_equal(ask.params, params);
    assert_int_equal(ask.dry_run, dry);
    free(ask.params);
}

static void a_replay_is_read_but_for_its_selection(void **state)
{
    (void)state;
    assert_replay("{\"errors\": true}", API_GOOD, "{\"errors\":true}", false);
    assert_replay("{\"slices\":[1],\"dry_run\":true}", API_GOOD,
                  "{\"slices\":[1],\"dry_run\":true}", true);
    assert_replay("", API_GOOD, "{}", false); /* the database says that it selects nothing */
    assert_replay("{\"slice_size\":1000,\"rate\":100000,\"reason\":\"x\"}", API_GOOD,
                  "{\"slice_size\":1000,\"rate\":100000,\"reason\":\"x\"}", false);
    static const char *const wrong[] = {
        "[]",
        "{\"slice_size\":0}",
        "{\"slice_size\":1001}",
        "{\"slice_size\":\"1\"}",
        "{\"slice_size\":1.5}",
        "{\"slice_size\":null}",
        "{\"rate\":0}",
        "{\"rate\":100001}",
        "{\"rate\":true}",
        "{\"reason\":1}",
        "{\"reason\":null}",
        "{\"dry_run\":\"yes\"}",
        "{\"dry_run\":1}",
    };
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        assert_replay(wrong[i], API_WRONG, NULL, false);
    assert_replay("{\"errors\":", API_MALFORMED, NULL, false);
    assert_replay("{\"errors\":true,\"errors\":false}", API_MALFORMED, NULL, false);
}

static void nothing_is_no_body_or_an_empty_object(void **state)
{
    (void)state;
    assert_int_equal(api_parse_nothing("", 0), API_GOOD);
    assert_int_equal(api_parse_nothing("{}", 2), API_GOOD);
    assert_int_equal(api_parse_nothing("{\"a\":1}", 7), API_WRONG);
    assert_int_equal(api_parse_nothing("null", 4), API_MALFORMED);
}

/* ---- paths and queries ------------------------------------------------------------------- */

static void a_name_is_text_of_bounded_length(void **state)
{
    (void)state;
    char name[API_JOB_NAME_MAX + 2];
    memset(name, 'n', sizeof name);
    name[API_JOB_NAME_MAX + 1] = '\0';
    assert_false(api_job_name_is_text(name));
    name[API_JOB_NAME_MAX] = '\0';
    assert_true(api_job_name_is_text(name));
    assert_true(api_job_name_is_text("bl\xc3\xa5"));
    assert_false(api_job_name_is_text("bl\xe5"));
    assert_false(api_job_name_is_text("line\nbreak"));
    assert_false(api_job_name_is_text(""));
}

static void numbers_are_whole_and_in_range(void **state)
{
    (void)state;
    int n = 0;
    assert_true(api_parse_int(NULL, 1, 100, 20, &n));
    assert_int_equal(n, 20);
    assert_true(api_parse_int("100", 1, 100, 20, &n));
    assert_int_equal(n, 100);
    static const char *const wrong[] = {"", "0", "101", "-1", "1.5", " 1", "1e2", "9999999999"};
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        assert_false(api_parse_int(wrong[i], 1, 100, 20, &n));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("R-T9: X-Scheduler-Secret or Authorization: Bearer carries the secret",
             either_header_carries_the_secret),
        TEST("R-T9: an empty, unprintable or other credential is none", no_usable_secret_is_none),
        TEST("R-T9: a header that is not ours does no harm to the other",
             a_header_that_is_not_ours_does_no_harm),
        TEST("R-T9: a secret of more than 4 KiB is none", a_secret_over_4_kib_is_none),
        TEST("R-S2: Prefer says respond-async and wait=N", preferences_are_read),
        TEST("R-S2: preferences that are not understood are ignored",
             preferences_not_understood_are_ignored),
        TEST("R-S2: the longest wait is 300 seconds", the_longest_wait_is_bounded),
        TEST("only application/json, with or without parameters, is JSON",
             only_json_is_a_json_type),
        TEST("an Idempotency-Key has 1 to 200 printable characters",
             a_key_is_1_to_200_printable_characters),
        TEST("R-T9: an empty object, or no body, rings the slot", an_empty_object_or_no_body_rings),
        TEST("R-T12: any known member makes it a manual run, with its parameters",
             any_member_makes_it_a_manual_run),
        TEST("what is not JSON, or has a member twice, is malformed",
             what_is_not_json_is_malformed),
        TEST("unknown members and wrong types are refused", unknown_and_wrong_members_are_refused),
        TEST("65 scenario types are one too many", more_scenarios_than_the_bound_are_refused),
        TEST("an evaluation date is a date of the calendar", dates_are_of_the_calendar),
        TEST("R-T11: the forms of pg_cron name their job or know it",
             forms_name_their_job_or_know_it),
        TEST("R-T8: paused is one boolean and nothing else",
             paused_is_one_boolean_and_nothing_else),
        TEST("R-E8: a contact date is one date of the calendar and nothing else",
             a_contact_date_is_a_date_of_the_calendar),
        TEST("R-X1: a replay is read, but for its selection",
             a_replay_is_read_but_for_its_selection),
        TEST("a body that may say nothing is empty or an empty object",
             nothing_is_no_body_or_an_empty_object),
        TEST("a job's name is UTF-8 without control characters, at most 128 bytes",
             a_name_is_text_of_bounded_length),
        TEST("query numbers are whole and in range", numbers_are_whole_and_in_range),
    };
    return cmocka_run_group_tests_name("api_request", tests, NULL, NULL);
}

-- Changes of models and the counts from before them; the rest of what is found by watching follows.

CREATE TABLE change (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model_id text COLLATE "C" NOT NULL,
    direction text NOT NULL CHECK (direction IN ('up', 'down', 'announced')),
    since_event_id bigint NOT NULL,
    noticed_event_id bigint NOT NULL,
    since_ms bigint NOT NULL,
    noticed_ms bigint NOT NULL,
    evidence double precision
);

CREATE TABLE baseline (
    tally_id integer PRIMARY KEY REFERENCES tally (id),
    change_id bigint NOT NULL REFERENCES change (id),
    successes bigint NOT NULL,
    failures bigint NOT NULL,
    rate double precision,
    timeout_failures bigint NOT NULL,
    later_successes bigint NOT NULL,
    later_failures bigint NOT NULL,
    later_timeout_failures bigint NOT NULL,
    score_shift bigint NOT NULL,
    later_score_shift bigint NOT NULL
);

CREATE TABLE watch (
    kind text NOT NULL,
    task_type text COLLATE "C" NOT NULL,
    model_id text COLLATE "C" NOT NULL,
    state text NOT NULL
);
CREATE UNIQUE INDEX watch_by_key ON watch (kind, task_type, digest_of(model_id));

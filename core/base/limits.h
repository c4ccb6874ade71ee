/* base/limits.h - every maximum of the program, by name. Nothing that grows is without one. */
#ifndef GD_BASE_LIMITS_H
#define GD_BASE_LIMITS_H

#define GD_JSON_DEPTH_MAX          32            /* nesting of any JSON that comes from outside */
#define GD_ERR_TEXT_MAX            384           /* bytes of one error sentence */
#define GD_LOG_LINE_MAX            4096          /* bytes of one log line */
#define GD_ID_TEXT_MAX             32            /* "gr" + 26 characters, NUL and room */
#define GD_NAME_MAX                128           /* names people give: clients, workspaces, apps */
#define GD_TOKEN_MAX               8192          /* one access, refresh or ID token */
#define GD_CRED_BLOB_MAX           32768         /* the JSON that holds a credential's secrets */
#define GD_HTTP_BODY_MAX           (1024 * 1024) /* answer of a platform, counted while streaming */
#define GD_HTTP_HEAD_MAX           65536         /* answer's head */
#define GD_HOST_NAME_MAX           253           /* RFC 1035 2.3.4 */
#define GD_HTTP_URL_MAX            32768         /* a platform may put a token into a query */
#define GD_HTTP_HEADERS_MAX        256           /* header lines of an answer; of a request a quarter */
#define GD_HTTP_REQUEST_MAX        (1024 * 1024) /* body of a request */
#define GD_HTTP_QUEUE_MAX          16384         /* requests of one app that wait for its slots or bucket */
#define GD_HTTP_WAIT_MS            60000         /* how long one may wait there */
#define GD_HTTP_WAIT_PERSON_MS     15000         /* the same when a person waits */
#define GD_HTTP_FLYING_MAX         512           /* requests in flight, all apps together */
#define GD_HTTP_PERSON_SLOTS       4             /* in flight per app for people, beside .concurrency */
#define GD_HTTP_IDLE_CONNS         256           /* kept-alive connections, all apps together */
#define GD_HTTP_LATE_MS            100  /* a deadline that is noticed so much later: this process slept */
#define GD_HTTP_AWAKE_MS           2000 /* then what was sent is awaited once more, at most for so long */
#define GD_HTTP_BREAKERS_MAX       32   /* hosts of one app that have a breaker */
#define GD_HTTP_RETRY_AFTER_MAX_MS (6 * 3600 * 1000)
#define GD_HTTP_CONNECT_MS         10000             /* resolve, connect and TLS handshake */
#define GD_OP_STEPS_MAX            64                /* steps of one run of a plugin operation */
#define GD_OP_RUNS_MAX             4096              /* runs that grantd_continue may chain */
#define GD_OP_BYTES_MAX            (8 * 1024 * 1024) /* arena and answers of one run */
#define GD_OP_NOTES_MAX            64                /* notes of one operation */
#define GD_OP_NOTE_MAX             4096              /* bytes of one note */
#define GD_OP_KEPT_MAX             GD_CRED_BLOB_MAX /* bytes of all that is kept with a credential, as JSON */
#define GD_OP_ASSETS_MAX           4096             /* assets that one run may report */
#define GD_RPC_FRAME_MAX           65536            /* one JSON-RPC request */
#define GD_RPC_BATCH_MAX           32
#define GD_RPC_ANSWER_MAX          (16 * 1024 * 1024) /* one reply, or all of a batch */
#define GD_RPC_UNSENT_MAX \
    (4 * 1024 * 1024)               /* replies that a client has not read; a fourth, and no more is begun */
#define GD_RPC_UNREAD_MS      10000 /* a client that takes nothing of more than that for so long is cut */
#define GD_RPC_UNSENT_HARD    (32 * 1024 * 1024) /* and at once beyond this, before the newest reply */
#define GD_RPC_PEERS_MAX      1024
#define GD_RPC_PEERS_PER_UID  256
#define GD_RPC_PEERS_KEPT     32   /* of all, for root and the daemon's own user */
#define GD_RPC_CALLS_PER_PEER 256  /* running at once; more wait unread */
#define GD_RPC_CALLERS_MAX    1024 /* distinct (uid, gid, groups) that are remembered */
#define GD_RPC_FAST_MAX       4096 /* vends collected in one turn of the loop */
#define GD_RPC_HEAD_MAX       8192 /* head of an HTTP request on the socket */
#define GD_RPC_CALL_MS_MAX \
    (10 * 60 * 1000) /* a call that is not answered by then is answered INTERNAL, unless it is a long one */
#define GD_RPC_LINGER_MAX \
    (1024 * 1024) /* bytes thrown away after a refused frame, so that its answer is read */
#define GD_PORTAL_HEAD_MAX          8192 /* request head */
#define GD_PORTAL_FIELDS_MAX        64
#define GD_PORTAL_BODY_MAX          16384
#define GD_PORTAL_TARGET_MAX        4096
#define GD_PORTAL_CONNS_MAX         512
#define GD_PORTAL_CONNS_PER_ADDRESS 20
#define GD_CONFIG_FILE_MAX          (1024 * 1024)
#define GD_CONFIG_ERRORS_MAX        64
#define GD_ERASED_FILE_MAX          (4 * 1024 * 1024) /* ids of erased clients beside a shared store */
#define GD_SPOOL_RECORD_MAX         65536
#define GD_STORE_QUEUE_MAX          65536              /* transactions waiting for the store thread */
#define GD_STORE_GROUP_MAX          512                /* transactions in one commit */
#define GD_STORE_TX_MAX             (64 * 1024 * 1024) /* parameters and results of one transaction */
#define GD_STORE_ROWS_MAX           100000 /* rows that one statement may return; more: gd_store_scan, pages */
#define GD_STORE_PARAMS_MAX         64     /* parameters of one statement */
#define GD_STORE_VALUE_MAX          (4 * 1024 * 1024)  /* one parameter */
#define GD_STORE_SCRUB_MAX          (64 * 1024 * 1024) /* a file of more bytes is not rewritten by a scrub */
#define GD_STORE_NEWS_MAX           16384              /* changes of other nodes that wait for the loop */
#define GD_STORE_CHECK_FIRST        (64 * 1024 * 1024) /* a file of more bytes is looked at beside the vends */
#define GD_STORE_DEADLINE_MS        10000 /* a shared store's answer is waited for so long, unless configured */
#define GD_STORE_BALLAST            (4 * 1024 * 1024) /* space kept for answers that arrive on a full disk */
#define GD_SPOOL_TRIM               (1024 * 1024)     /* a spool with nothing open is emptied beyond this */
#define GD_SPOOL_FILE_MAX           (256 * 1024 * 1024)
#define GD_SPOOL_KEEP_MS            (15 * 60 * 1000)   /* what is stored is kept so long */
#define GD_SPOOL_KEEP_MAX           (64 * 1024 * 1024) /* and so much of it, at most twice */
#define GD_TOKEN_FILE_PLACES        (64 * 1024 * 1024) /* credentials whose tokens the cache's file takes */
#define GD_NODES_MAX                64                 /* processes at work on one store */
#define GD_NODE_TITLE_MAX           63                 /* of what people call a node */
#define GD_NODES_LISTED_MAX         256 /* names of nodes that are shown, those that are gone last */
#define GD_AUDIT_RECORD_MAX         8192
#define GD_AUDIT_QUEUE_MAX          65536 /* records on their way to the disk */
#define GD_AUDIT_HELD_MAX           4096  /* records that nobody waits for, while the disk is full */
#define GD_REQUEST_ITEMS_MAX        64
#define GD_MAIL_QUEUE_MAX           256                   /* mails that wait for the mail server */
#define GD_CODE_TTL_MS              (10 * 60 * 1000)      /* a code that was mailed to a client */
#define GD_CODE_TRIES_MAX           5                     /* per request; the next one locks */
#define GD_CODE_LOCK_MS             (24 * 60 * 60 * 1000) /* how long none is taken then */
#define GD_CODE_SENDS_MS            (60 * 60 * 1000)      /* three are sent within so long */
#define GD_CODE_OPEN_MS             (15 * 60 * 1000)      /* what a code opened stays open for one browser */
#define GD_EVENTS_MAX               250000                /* events kept of a workspace */
#define GD_EVENTS_AGE_MS            (90LL * 86400000)     /* and how long */
#define GD_EVENTS_TRIM_EVERY        1024               /* new ones of a workspace from trimming to trimming */
#define GD_VENDS_MAX                (16 * 1024 * 1024) /* places for who was vended which generation, 12 bytes each */
#define GD_AUDIT_FILE_MAX           (256LL * 1024 * 1024) /* bytes of the audit log before it goes on in a new file */
#define GD_AUDIT_FILES_MAX          9999                  /* closed files of an audit log */
#define GD_FLOW_TTL_MS              (15 * 60 * 1000) /* one attempt of one browser */
#define GD_PLATFORMS_MAX            64
#define GD_POLICY_RULES_MAX         4096
#define GD_PLATFORM_TABLE_MAX       4096  /* bytes that a platform's table may claim */
#define GD_PLATFORM_STATE_MAX       65536 /* state of one run */
#define GD_PLATFORM_LIST_MAX        128   /* options, roles, modes, hosts of one platform */
#define GD_PLATFORM_FIELDS_MAX      512   /* fields of a provider description */
#define GD_DESCRIPTION_MAX          65536 /* bytes of one provider description */
#define GD_PROVIDERS_MAX            1024  /* descriptions of one platform */
#define GD_OP_LISTED_MAX            65536 /* assets, steps, surfaces or facts of one operation, over all its runs */
#define GD_OP_STEPS_SHOWN_MAX       64               /* guided steps of one operation */
#define GD_OP_STEPS_BYTES_MAX       GD_HTTP_BODY_MAX /* all of them, as JSON */
#define GD_VERIFY_LISTED_MAX        1000             /* differences that one look at all grants tells */
#define GD_OP_CHOICES_MAX           4096             /* choices of one guided step */
#define GD_NICE_BEHIND              2   /* threads that work for the loop stand so far behind it */
#define GD_LOOP_SLICE_US            100 /* of one turn of the loop, for each kind of work that comes in heaps */
#define GD_OP_TEXT_MAX              65536         /* one text that a platform makes or reports */
#define GD_OP_BROWSER_URL_MAX       16384         /* where a platform sends a browser to */
#define GD_OP_DEFERS_MAX            256           /* grantd_defer in one run */
#define GD_OP_LOOK_MAX              (366 * 86400) /* seconds until what is pending is looked at */
#define GD_OP_RETRY_AFTER_MAX       (7 * 86400) /* seconds; a platform that asks for more is asked again then */

#endif

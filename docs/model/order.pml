/* One order of the engine: W processes on one store, a chain that forks above its solid block,
 * nodes that answer anything, and a process that dies or sleeps between any two steps.
 *
 * A block's number is its time. Every guard can be taken away with -DNO_...; see README.md.
 * What the names stand for in src/tron_payment: st, ver, live: engine/documents.py Order;
 * jres, jfinal, held: db/ledger_documents.py, the unique indexes over `reserves` and `finals`, and
 * what is reserved; cur: chain/documents.py Cursor; E: Attempt.expiration_ms.
 */
#ifndef W
#define W 2            /* processes */
#endif
#ifndef NB
#define NB 2           /* transactions that may ever be signed */
#endif
#ifndef MAXT
#define MAXT 4         /* blocks */
#endif
#ifndef TTL
#define TTL 1          /* lifetime of a transaction, in blocks */
#endif

mtype = { QUEUED, RESERVED, SIGNED, SETTLED, FAILED, CANCELED };

mtype st = QUEUED; byte ver = 0; byte live = NB;     /* the order */
bool jres = false, jfinal = false; byte held = 0;    /* the journal */
bool closed = false;                                 /* they were spent or released, once */
byte cur = 0;                                        /* the follower's place */
byte head = 0, solid = 0;                            /* the chain */
byte E[NB], incl[NB]; bool released[NB], good[NB]; byte nsig = 0;
bool rebuilt = false;

#define IN_SOLID(b) (incl[b] > 0 && incl[b] <= solid)
#define GOOD(b)     (incl[b] > 0 && good[b])
#if NB == 2
#define PAID        (GOOD(0) + GOOD(1))
#define PAID_SOLID  ((GOOD(0) && IN_SOLID(0)) + (GOOD(1) && IN_SOLID(1)))
#else
#define PAID        (GOOD(0) + GOOD(1) + GOOD(2))
#define PAID_SOLID  ((GOOD(0) && IN_SOLID(0)) + (GOOD(1) && IN_SOLID(1)) + (GOOD(2) && IN_SOLID(2)))
#endif

/* compare-and-set on (status, version) */
#ifdef NO_COMPARE_AND_SET
#define STILL(s, v) (true)
#else
#define STILL(s, v) (st == s && ver == v)
#endif

#define DIE if :: skip :: goto start fi

#ifdef NO_UNIQUE_RESERVATION
#define MAY_RESERVE (true)
#else
#define MAY_RESERVE (!jres)
#endif
#ifdef NO_TOMBSTONE
#define FORGET if :: jfinal -> jres = false; jfinal = false :: else fi
#else
#define FORGET skip
#endif
#ifdef NO_SOLID_ONLY
#define READABLE(n) (n <= head)
#else
#define READABLE(n) (n <= solid)
#endif
#ifdef NO_CHAIN_TIME
#define OVER(k, n) (true)       /* "our clock says so" */
#elif defined(NO_SOLID_TIME)
#define OVER(k, n) (E[k] <= head)
#else
#define OVER(k, n) (E[k] <= n)
#endif

inline books_are_right() {
  if :: jfinal -> closed = true :: else fi;
  assert(held <= 1);                                 /* funds are set aside once */
  assert(!(closed && held > 0))                      /* and never after they were spent */
}

inline move_to(s, v, target) {
  if :: STILL(s, v) -> st = target; ver++ :: else fi
}

/* ---- one block, as the settler applies it: book, conclude, bury, advance --------------------- */
inline find_in_block(n, f) {
  f = NB;
  if :: incl[0] == n -> f = 0 :: incl[1] == n -> f = 1
#if NB > 2
     :: incl[2] == n -> f = 2
#endif
     :: else fi
}

inline book(n, f) {
  if
  :: (f < NB && !jfinal && cur < n) ->
        jfinal = true; jres = true;
        if :: held > 0 -> held-- :: else fi;
        books_are_right()
  :: else
  fi;
  FORGET
}

inline conclude(f) {
  if
  :: f < NB && st == SIGNED && live == f ->
#ifdef NO_RECEIPT
     st = SETTLED; ver++;
#else
     if :: good[f] -> st = SETTLED :: else -> st = FAILED fi; ver++;
#endif
     live = NB;
     assert(!(st == SETTLED) || (PAID_SOLID == 1));
     assert(!(st == FAILED) || (PAID == 0))
  :: else
  fi
}

proctype Process() {
  mtype s; byte v, k, n, f, b, h;
start: true;
  d_step { s = QUEUED; v = 0; k = NB; n = 0; f = NB; b = NB; h = 0 }
  if
  /* ---- the order, one step further (dispatch.py) ---- */
  :: atomic { s = st; v = ver; k = live }
     if
     :: s == QUEUED ->
        atomic {                                   /* the journal takes one reservation, for ever */
          if :: MAY_RESERVE -> jres = true; held++ :: else fi;
          books_are_right()
        }
        DIE;
        atomic { if :: !jfinal -> move_to(QUEUED, v, RESERVED) :: else fi }
     :: atomic { s == RESERVED && nsig < NB -> b = nsig; nsig++;
                 h = cur; do :: h < head -> h++ :: break od;  /* any head that a node may show */
                 E[b] = h + TTL; if :: b > 0 -> rebuilt = true :: else fi }
        DIE;
#ifdef NO_STORE_BEFORE_SEND
        released[b] = true;
        DIE;
#endif
        atomic { if :: STILL(RESERVED, v) -> st = SIGNED; ver++; live = b :: else fi }
     :: s == SIGNED ->
        released[k] = true;                        /* the same bytes, again and again */
        if
        :: skip                                    /* whatever the nodes say: keep watching */
#ifdef NO_PATIENCE_AFTER_REFUSAL
        :: atomic { if :: STILL(SIGNED, v) -> st = RESERVED; ver++; live = NB :: else fi }
#endif
#ifdef NO_DOUBT_AFTER_DUPLICATE
        :: atomic { if :: STILL(SIGNED, v) -> st = SETTLED; ver++; live = NB;
                          assert(PAID_SOLID == 1) :: else fi }
#endif
        fi
     :: s == CANCELED && !jfinal ->                /* close the books: release, or never reserve */
        atomic { if :: !jfinal -> if :: held > 0 -> held-- :: else fi; jres = true; jfinal = true
                    :: else fi;
                 books_are_right();
                 FORGET }
     :: else
     fi;
     DIE
  /* ---- a caller cancels (service.py) ---- */
  :: atomic { s = st; v = ver }
     if
     :: s == QUEUED || s == RESERVED -> atomic { move_to(s, v, CANCELED) }
#ifdef NO_SIGNED_MEANS_MAYBE_PAID
     :: s == SIGNED -> atomic { move_to(s, v, CANCELED) }
#endif
     :: else
     fi
  /* ---- the next block (follower.py, settle.py) ---- */
  :: atomic { READABLE(cur + 1) -> n = cur + 1;
#ifdef NO_SCAN_OF_EVERY_BLOCK
              do :: n < solid -> n++ :: break od;
#endif
              find_in_block(n, f) }
#ifdef NO_CURSOR_LAST
     atomic { if :: cur < n -> cur = n :: else fi }
     DIE;
#endif
     atomic { book(n, f) }
     DIE;
     atomic { conclude(f) }
     DIE;
     atomic { s = st; v = ver; k = live }
     if
     :: (s == SIGNED && k < NB && k != f && OVER(k, n)) ->
        atomic { if :: STILL(SIGNED, v) -> st = RESERVED; ver++; live = NB :: else fi }
     :: else
     fi;
     DIE;
     atomic { if :: cur < n -> cur = n :: else fi }
#ifdef NO_PROOF_BUT_LOOK_UP
  /* ---- ask a back end for the transaction by its id, and believe that it is not there ---- */
  :: atomic { s = st; v = ver; k = live; s == SIGNED && k < NB && E[k] <= solid ->
              h = 0; do :: h < solid -> h++ :: break od }     /* how far this back end is */
     if
     :: !(incl[k] > 0 && incl[k] <= h) ->
        atomic { if :: STILL(SIGNED, v) -> st = RESERVED; ver++; live = NB :: else fi }
     :: else
     fi
#endif
  fi;
  goto start
}

/* ---- the network: takes what was released, forks above solid, solidifies ---------------------- */
proctype Chain() {
  byte b, to;
  do
  :: atomic { head < MAXT ->
       b = NB;
       if
       :: skip                                                        /* an empty block */
       :: released[0] && incl[0] == 0 && E[0] > head -> b = 0         /* parent's time < expiration */
       :: released[1] && incl[1] == 0 && E[1] > head -> b = 1
#if NB > 2
       :: released[2] && incl[2] == 0 && E[2] > head -> b = 2
#endif
       fi;
       head++;
       if :: b < NB -> incl[b] = head; if :: good[b] = true :: good[b] = false fi :: else fi;
       assert(PAID <= 1);                                             /* I1, on any fork */
       assert(!(PAID > 0 && (st == CANCELED || st == FAILED)));       /* I3 */
       assert(!(st == SETTLED && PAID_SOLID != 1));                   /* I2 */
       b = 0 }
  :: atomic { head > solid ->                                         /* a fork */
       to = solid; do :: to < head - 1 -> to++ :: break od;
       head = to;
       if :: incl[0] > head -> incl[0] = 0 :: else fi;
       if :: incl[1] > head -> incl[1] = 0 :: else fi;
#if NB > 2
       if :: incl[2] > head -> incl[2] = 0 :: else fi;
#endif
       to = 0 }
  :: atomic { solid < head -> solid++;
       assert(PAID_SOLID <= 1) }
  od
}

/* ---- are the interesting states reached at all? ---- */
#ifdef REACH_SETTLED
#define UNREACHED !(st == SETTLED)
#elif defined(REACH_REBUILT_AND_SETTLED)
#define UNREACHED !(st == SETTLED && rebuilt)
#elif defined(REACH_CANCELED_AND_CLOSED)
#define UNREACHED !(st == CANCELED && jfinal)
#elif defined(REACH_FAILED)
#define UNREACHED !(st == FAILED)
#endif
#ifdef UNREACHED
active proctype Watch() { atomic { !(UNREACHED) -> assert(false) } }
#endif

init {
  byte i = 0;
  atomic { run Chain(); do :: i < W -> run Process(); i++ :: else -> break od }
}

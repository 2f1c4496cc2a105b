------------------------------- MODULE Drain -------------------------------
(***************************************************************************)
(* The protocol between one gateway and one owner of a hold, over files    *)
(* and a published status: leases, commit, crash and restart, a status     *)
(* file that is lost, an operator who removes the owner's file.            *)
(*                                                                         *)
(* The rules of the first format, where the file of a commit was its       *)
(* second trace. Since there is a record of commits, the protocol has      *)
(* other rules (docs/decisions/0018), which are not in here.               *)
(* `.ci/tlc` checks it with TLC and compares the numbers of states and     *)
(* steps.                                                                  *)
(*                                                                         *)
(* Time has no bound: of a lease only what is left of it is kept. Nonces,  *)
(* processes and drains have none either: of the latter two only whether   *)
(* they are the current ones, and a nonce that nothing bears is used again.*)
(***************************************************************************)
EXTENDS Naturals, Sequences

CONSTANTS CommitOutlastsItsFile, CommitIsRestored, NonceIsAwaited, Lease

VARIABLE s

NoHold == [nonce |-> 0, refused |-> "", token |-> 0, left |-> 0]
NoHolds == [hold |-> NoHold, ended |-> <<>>]
NoAnswer == [nonce |-> 0, outcome |-> ""]
NoFile == [kind |-> "absent", nonce |-> 0, token |-> 0, drain |-> "other process"]
NoStatus == [there |-> FALSE, drain |-> "other process", open |-> TRUE, drained |-> FALSE,
             answer |-> NoAnswer, bequest |-> NoHolds]
Nobody == [phase |-> "idle", nonce |-> 0, drain |-> "other process", told |-> FALSE,
           witnessed |-> FALSE, spoilt |-> FALSE]

Init == s = [gateway |-> "dead", open |-> TRUE, turns |-> 0, holds |-> NoHolds, answer |-> NoAnswer,
             status |-> NoStatus, file |-> NoFile, owner |-> Nobody]

Alive(t) == t.gateway # "dead"
Looked(t) == t.gateway \in {"looked", "serving"}
Held(h) == h.hold.nonce # 0
Drained(t) == ~t.open /\ t.turns = 0

-----------------------------------------------------------------------------
(* Holds *)

Ended(h, nonce) == {i \in 1..Len(h.ended) : h.ended[i].nonce = nonce}
First(S) == CHOOSE i \in S : \A j \in S : i <= j

Standing(h, nonce) ==
    IF Held(h) /\ h.hold.nonce = nonce
    THEN IF h.hold.refused # "" THEN h.hold.refused
         ELSE IF h.hold.token # 0 THEN "committed" ELSE "held"
    ELSE IF Ended(h, nonce) # {} THEN h.ended[First(Ended(h, nonce))].how
    ELSE ""

Expire(h) ==
    IF Held(h) /\ h.hold.token = 0 /\ h.hold.left = 0
    THEN [hold |-> NoHold, ended |-> Append(h.ended, [nonce |-> h.hold.nonce, how |-> "expired"])]
    ELSE h

Older(h) == IF h.hold.left > 0 THEN [h EXCEPT !.hold.left = @ - 1] ELSE h

Begin(h, file) ==
    IF Held(h)
    THEN [h EXCEPT !.hold.nonce = file.nonce, !.hold.refused = "",
                   !.hold.left = IF h.hold.token # 0 THEN 0 ELSE Lease]
    ELSE [hold |-> [nonce |-> file.nonce, refused |-> "", token |-> 0, left |-> Lease], ended |-> <<>>]

Denied(file, drained) ==
    CASE file.drain = "other process" -> "refused: another process"
      [] file.drain = "earlier" -> "refused: an earlier drain"
      [] file.drain = "current" /\ ~drained -> "refused: not drained"
      [] OTHER -> ""

Committed(h, file, drained) ==
    LET denied == Denied(file, drained) IN
    IF denied # "" THEN [h EXCEPT !.hold.nonce = file.nonce, !.hold.refused = denied]
    ELSE [h EXCEPT !.hold = [nonce |-> file.nonce, refused |-> "", token |-> file.nonce, left |-> 0]]

Withdrawn(file) == [hold |-> NoHold, ended |-> <<[nonce |-> file.nonce, how |-> "withdrawn"]>>]

(* What the file makes of the holds, and what is answered to it. *)
Decide(h, file, drained) ==
    LET before == Standing(h, file.nonce)
        result(holds, outcome) == [holds |-> holds, answer |-> [nonce |-> file.nonce, outcome |-> outcome]]
    IN
    CASE file.kind = "absent" ->
            [holds |-> [hold |-> IF h.hold.token # 0 /\ CommitOutlastsItsFile THEN h.hold ELSE NoHold, ended |-> <<>>],
             answer |-> NoAnswer]
      [] file.kind # "absent" /\ before # "" -> result(h, before)
      [] file.kind = "begin" /\ before = "" ->
            LET after == Begin(h, file) IN result(after, Standing(after, file.nonce))
      [] file.kind = "commit" /\ before = "" ->
            IF ~Held(h)
            THEN result(h, IF \E i \in 1..Len(h.ended) : h.ended[i].how = "expired"
                           THEN "refused: expired" ELSE "refused: not held")
            ELSE LET after == Committed(h, file, drained) IN result(after, Standing(after, file.nonce))
      [] file.kind = "withdraw" /\ before = "" ->
            IF h.hold.token # 0 /\ h.hold.token # file.token THEN result(h, "refused: committed")
            ELSE IF Held(h) THEN result(Withdrawn(file), "withdrawn")
            ELSE result(h, "withdrawn")

-----------------------------------------------------------------------------
(* What happens around each step *)

Aged(drain) == IF drain = "current" THEN "earlier" ELSE drain

(* The gate is closed exactly while a hold exists. Closing it opens a new generation of drains. *)
Settled(t) ==
    IF Held(t.holds) /\ t.open
    THEN [t EXCEPT !.open = FALSE,
                   !.status.drain = Aged(@),
                   !.file.drain = IF t.file.kind = "commit" THEN Aged(@) ELSE @,
                   !.owner.drain = IF t.owner.phase = "saw drained" THEN Aged(@) ELSE @]
    ELSE IF ~Held(t.holds) /\ ~t.open THEN [t EXCEPT !.open = TRUE]
    ELSE t

(* History that nobody can see. *)
Witnessed(t) ==
    LET o == t.owner
        stands == t.holds.hold.token = o.nonce
        granted == IF Looked(t) THEN stands ELSE o.witnessed \/ stands
    IN
    CASE o.phase = "waiting" ->
            [t EXCEPT !.owner.witnessed = @ \/ (Looked(t) /\ Drained(t)), !.owner.spoilt = FALSE]
      [] o.phase = "committing" ->
            [t EXCEPT !.owner.witnessed = granted, !.owner.spoilt = granted /\ (@ \/ t.turns > 0)]
      [] OTHER -> [t EXCEPT !.owner.witnessed = FALSE, !.owner.spoilt = FALSE]

(* A step that changes nothing is none. (TLC evaluates what is bound by \E once.) *)
Becomes(t) == \E u \in {t} : \E w \in {Witnessed(u)} : w # s /\ s' = w

NoncesOf(h) == {h.hold.nonce, h.hold.token} \union {h.ended[i].nonce : i \in 1..Len(h.ended)}
Borne == {0, s.file.nonce, s.file.token, s.answer.nonce, s.status.answer.nonce, s.owner.nonce}
         \union NoncesOf(s.holds) \union NoncesOf(s.status.bequest)
Fresh == CHOOSE n \in 1..20 : n \notin Borne /\ \A m \in 1..(n - 1) : m \in Borne

Owner(phase, nonce) == [Nobody EXCEPT !.phase = phase, !.nonce = nonce]
File(kind, nonce) == [NoFile EXCEPT !.kind = kind, !.nonce = nonce]

-----------------------------------------------------------------------------
(* The gateway *)

FromFiles ==
    IF s.file.kind = "commit" /\ CommitIsRestored
    THEN [hold |-> [nonce |-> s.file.nonce, refused |-> "", token |-> s.file.nonce, left |-> 0], ended |-> <<>>]
    ELSE NoHolds

Start == /\ ~Alive(s)
         /\ LET left == IF s.status.there THEN s.status.bequest ELSE FromFiles
            IN \E t \in {[s EXCEPT !.gateway = "inherited", !.holds = Expire(left)]} : Becomes(Settled(t))

Look == /\ Alive(s)
        /\ \E expired \in {Expire(s.holds)} :
           \E decided \in {Decide(expired, s.file, Drained(s))} :
           \E t \in {[s EXCEPT !.holds = decided.holds, !.answer = decided.answer,
                              !.gateway = IF @ = "inherited" THEN "looked" ELSE @]} : Becomes(Settled(t))

(* The answers as they stand now, and what a successor takes over. *)
Answer == LET now == Standing(s.holds, s.answer.nonce)
          IN IF s.answer.nonce # 0 /\ now # "" THEN [s.answer EXCEPT !.outcome = now] ELSE s.answer

Refusals == {"refused: another process", "refused: an earlier drain", "refused: not drained",
             "refused: expired", "refused: not held", "refused: committed"}

Bequest ==
    LET hold == s.holds.hold
        refused == IF Held(s.holds) /\ Answer.nonce = hold.nonce /\ Answer.outcome \in Refusals THEN Answer.outcome ELSE ""
    IN [hold |-> IF hold.token # 0 /\ ~CommitIsRestored THEN NoHold ELSE [hold EXCEPT !.refused = refused],
        ended |-> IF Answer.outcome = "expired" THEN <<[nonce |-> Answer.nonce, how |-> "expired"]>> ELSE <<>>]

Publish == /\ Looked(s)
           /\ Becomes([s EXCEPT !.gateway = "serving",
                                !.status = [there |-> TRUE, drain |-> "current", open |-> s.open, drained |-> Drained(s),
                                            answer |-> Answer, bequest |-> Bequest]])

Crash == /\ Alive(s)
         /\ Becomes([s EXCEPT !.gateway = "dead", !.open = TRUE, !.turns = 0, !.holds = NoHolds, !.answer = NoAnswer,
                              !.status = [NoStatus EXCEPT !.there = s.status.there, !.bequest = s.status.bequest],
                              !.file.drain = "other process", !.owner.drain = "other process"])

Admit == s.gateway = "serving" /\ s.open /\ s.turns = 0 /\ Becomes([s EXCEPT !.turns = 1])
EndTurn == s.turns > 0 /\ Becomes([s EXCEPT !.turns = @ - 1])

-----------------------------------------------------------------------------
(* Time, the operator, the disk *)

Tick == Becomes([s EXCEPT !.holds = Older(@), !.status.bequest = Older(@)])

(* Of a commit that its owner was told of, one trace is left: its file or the status. *)
LoseStatus == /\ s.status.there
              /\ s.owner.told => s.file.kind = "commit" /\ s.file.nonce = s.owner.nonce /\ s.owner.phase = "acting"
              /\ Becomes([s EXCEPT !.status = NoStatus])

Remove == /\ s.file.kind # "absent"
          /\ s.owner.told => s.status.there /\ s.status.bequest.hold.token # 0
          /\ Becomes([s EXCEPT !.file = NoFile])

-----------------------------------------------------------------------------
(* The owner *)

WriteBegin == /\ s.owner.phase \in {"idle", "waiting", "saw drained"}
              /\ Becomes([s EXCEPT !.file = File("begin", Fresh), !.owner = Owner("waiting", Fresh)])

WriteCommit == /\ s.owner.phase = "saw drained"
               /\ Becomes([s EXCEPT !.file = [File("commit", Fresh) EXCEPT !.drain = s.owner.drain],
                                    !.owner = Owner("committing", Fresh)])

WriteWithdraw == /\ s.owner.phase \in {"committing", "acting"}
                 /\ Becomes([s EXCEPT !.file = [File("withdraw", Fresh) EXCEPT !.token = s.owner.nonce],
                                      !.owner = Owner("leaving", Fresh)])

GiveUp == \/ /\ s.owner.phase \in {"waiting", "saw drained"}
             /\ Becomes([s EXCEPT !.file = NoFile, !.owner = Nobody])
          \/ /\ s.owner.phase = "idle" /\ s.file.kind \in {"begin", "commit"}
             /\ Becomes([s EXCEPT !.file = NoFile])
          \/ /\ s.owner.phase = "leaving"
             /\ Becomes([s EXCEPT !.owner = Nobody])

(* What the status of the live process answers to the write that the owner waits for. *)
Heard ==
    IF ~NonceIsAwaited /\ s.owner.phase = "committing" /\ s.status.bequest.hold.token # 0 THEN "committed"
    ELSE IF ~NonceIsAwaited /\ s.owner.phase = "waiting" /\ Held(s.status.bequest) THEN "held"
    ELSE IF s.status.answer.nonce = s.owner.nonce /\ s.owner.nonce # 0 THEN s.status.answer.outcome
    ELSE ""

Read == /\ Alive(s) /\ s.status.there /\ s.status.drain # "other process"
        /\ \/ /\ s.owner.phase = "waiting" /\ Heard \in {"held", "committed"} /\ s.status.drained
              /\ Becomes([s EXCEPT !.owner = [Owner("saw drained", 0) EXCEPT !.drain = s.status.drain]])
           \/ /\ s.owner.phase = "committing" /\ Heard = "committed"
              /\ Becomes([s EXCEPT !.owner = [Owner("acting", s.owner.nonce) EXCEPT !.told = TRUE]])
           \/ /\ s.owner.phase \in {"waiting", "committing", "leaving"}
              /\ Heard \in Refusals \union {"expired", "withdrawn"}
              /\ Becomes([s EXCEPT !.owner = Nobody])

-----------------------------------------------------------------------------

Next == \/ Start \/ Look \/ Publish \/ Crash \/ Admit \/ EndTurn \/ Tick \/ LoseStatus \/ Remove
        \/ WriteBegin \/ WriteCommit \/ WriteWithdraw \/ GiveUp \/ Read

Unfair == Init /\ [][Next]_s
Spec == Unfair /\ WF_s(Look)

(* E1: told committed, and until the hold ends no turn is in flight. *)
E1 == s.owner.told => s.turns = 0
(* H1: closed if and only if a live hold exists. *)
H1 == Alive(s) => (s.open <=> ~Held(s.holds))
(* C5: nothing is admitted before the gateway has looked and published. *)
C5 == s.turns > 0 => s.gateway = "serving"
(* E2, C6: what an owner is told, it is told by the live gateway, of the very write that it waits for. *)
E2 == [][s'.owner.phase # s.owner.phase /\ s'.owner.phase \in {"saw drained", "acting"}
         => Alive(s) /\ s.owner.witnessed /\ ~(s.owner.phase = "committing" /\ s.owner.spoilt)]_s
(* L2: when the last hold has ended, the gateway runs again. *)
ClosedForNothing == Alive(s) /\ ~s.open /\ s.file.kind = "absent" /\ s.holds.hold.token = 0
L2 == ClosedForNothing ~> ~ClosedForNothing
=============================================================================

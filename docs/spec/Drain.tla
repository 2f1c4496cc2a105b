------------------------------- MODULE Drain -------------------------------
(***************************************************************************)
(* The protocol of docs/spec.md between one gateway and one owner of a     *)
(* hold: a hold file, a published status, a record of commits. The gateway *)
(* crashes and restarts, or shuts down and restarts; leases run out; an    *)
(* operator removes the hold file; a status or a record is lost; an owner  *)
(* that acts writes its `drain` again. With Others a second owner writes   *)
(* what it likes in the place of that file, an operator overrides, a write *)
(* of another epoch lies there, and the machine reboots. Each action names *)
(* its section there, and each invariant and property bears its id         *)
(* (section 11).                                                           *)
(*                                                                         *)
(* `.ci/tlc` checks it with TLC. Without Others it compares the numbers of *)
(* states and steps with those of `verification/protocol`, which runs      *)
(* production's functions; that explores other owners in other bounds.     *)
(*                                                                         *)
(* ASSUMPTIONS                                                             *)
(* 1. Of a commit that its owner was told of, the status or the record is  *)
(*    left: the two are not lost together (LoseStatus, LoseRecord).        *)
(* 2. Nobody but the gateway writes the status and the record, and each    *)
(*    write replaces the whole file at once (5.3).                         *)
(* 3. One gateway at a time has the lock, and a reader can tell that its   *)
(*    holder is dead (5).                                                  *)
(* 4. The owner commits only a drain that it has read of (7), and each of  *)
(*    its writes bears a nonce that nothing bears (4).                     *)
(* 5. Fairness is assumed of the gateway's looks alone, for H3 and L2.     *)
(* 6. No other owner has the first one's name, but it may know its token.  *)
(* An owner that acts may write `drain` again (Rewrite), and the hold file *)
(* may be removed at any time (Remove): no commit rests on the hold file.  *)
(*                                                                         *)
(* LEFT OUT                                                                *)
(* A second hold (H2), a hold without an owner, the holds of calls in the  *)
(* process, an unready delay, `drain` for one process, internal work and   *)
(* more than one turn (G1, G4 to G6, and of G2 and G3 what one turn can't  *)
(* show), the marker, files that are torn, empty or can't be read (C1, C2, *)
(* C4), a home that can't be read, files that can't be written (C8, E3),   *)
(* the wall clock (H5), the age at a beginning, the endpoint over HTTP. Of *)
(* a shutdown only that it wins and that the next process takes over: S1,  *)
(* S6 and L1 to L5 but for L2 are the model's. An owner that dies is one   *)
(* that takes no more steps: no fairness is assumed of it.                 *)
(*                                                                         *)
(* BOUNDS                                                                  *)
(* None on how often anything happens but what Others bounds. Of a lease   *)
(* only what is left of it is kept, of processes and generations only      *)
(* whether they are the current ones, and a nonce that nothing bears is    *)
(* used again.                                                             *)
(***************************************************************************)
EXTENDS Naturals

CONSTANTS
    Lease,       \* Ticks in a lease.
    Shutdowns,   \* Whether the gateway shuts down, as often as it likes.
    Others,      \* How often others write in the place of the hold's file or the machine reboots.
    \* Seven rules, each of which can be left out to see what breaks.
    CommitOutlastsItsFile,  \* 4: that its file is absent ends no committed hold.
    CommitIsRestored,       \* 8: a process that starts takes over committed holds.
    NonceIsAwaited,         \* 7: a controller believes only what acknowledges its own nonce.
    CommitIsRecorded,       \* 8: a commit is on record before the status says that it was granted.
    UnprovenIsUncommitted,  \* 8: a commit that is in no status and on no record was not granted.
    OwnerIsCompared,        \* 4: a request of another owner is refused.
    OverwritingIsKnown      \* 4: that another's write is gone withdraws no hold.

ASSUME Lease \in Nat \ {0}
ASSUME Others \in Nat
ASSUME {Shutdowns, CommitOutlastsItsFile, CommitIsRestored, NonceIsAwaited, CommitIsRecorded,
        UnprovenIsUncommitted, OwnerIsCompared, OverwritingIsKnown} \subseteq BOOLEAN

VARIABLES
    gateway,      \* The process: dead; started (it has taken over); looked; serving (it has published).
    state,        \* 2: the state. "abandoned" is stopped by force, with the turns that are counted left.
    turns,        \* 3: turns in flight.
    interrupted,  \* 9: they have been asked to give up.
    ticks,        \* 9: ticks until a shutdown is forced.
    hold,         \* 4: the hold.
    ledger,       \* 4: what was decided of the write that lies in the file.
    status,       \* 6: gateway_state.json
    record,       \* 8: .drain_commits.json
    file,         \* 5: .drain_holds/<request_id>.json
    owner,        \* 7: the controller.
    \* History, which nobody can see:
    witnessed,    \* waiting: the gate was drained since. Committing: this very commit stands.
    spoilt,       \* a turn was in flight since the grant.
    denied,       \* the commit that its owner was told is refused, for as long as it lies there.
    overridden,   \* somebody has ended, by an override, the hold whose commit the owner awaits or was told of.
    others        \* how often others may still write, or the machine reboot.

history == <<witnessed, spoilt, denied, overridden, others>>
vars == <<gateway, state, turns, interrupted, ticks, hold, ledger, status, record, file, owner, history>>

-----------------------------------------------------------------------------
(* Types *)

(* 0 stands for no nonce. The variables can bear twelve at once, so one of thirteen is always free: see Fresh. *)
Nonces == 1..13
NonceOrNone == Nonces \union {0}

Refusals == {"refused: committed", "refused: lease_expired", "refused: not_drained", "refused: not_held",
             "refused: not_yours", "refused: other_generation", "refused: other_incarnation", "refused: shutting_down",
             "ignored: other_epoch"}
Endings == {"ended: expired", "ended: overridden", "ended: withdrawn"}

(* Who writes in the place of the hold's file. Only `owner` is followed: see Owners. *)
Writers == {"owner", "other"}
Outcomes == {"held", "committed"} \union Refusals \union Endings

(* Which drain somebody has read of, as it is now. Only the current one can be committed (4). *)
Drains == {"other process", "earlier", "current"}

(* `overwritten`: what lies in its file's place, or lay there last, is not its owner's write. *)
Holds == [held : BOOLEAN, by : Writers, nonce : NonceOrNone, token : NonceOrNone, left : 0..Lease, overwritten : BOOLEAN]
NoHold == [held |-> FALSE, by |-> "owner", nonce |-> 0, token |-> 0, left |-> 0, overwritten |-> FALSE]
HoldOf(by, nonce) == [NoHold EXCEPT !.held = TRUE, !.by = by, !.nonce = nonce, !.left = Lease]
CommittedHold(by, token) == [NoHold EXCEPT !.held = TRUE, !.by = by, !.nonce = token, !.token = token]

(* "stands": the write stands as its hold stands. `lapsed`: a lease has run out here, and nothing has begun since. *)
Ledgers == [nonce : NonceOrNone, decided : {"", "stands"} \union Refusals \union Endings, lapsed : BOOLEAN]
NoEntry == [nonce |-> 0, decided |-> "", lapsed |-> FALSE]

Answers == [nonce : NonceOrNone, outcome : {""} \union Outcomes]
NoAnswer == [nonce |-> 0, outcome |-> ""]

States == {"running", "external_draining", "shutdown_draining", "stopped"}

(* The status of a process that is gone is believed by nobody (7). All that is left of it is `takeover`. *)
Statuses == [there : BOOLEAN, drain : Drains, state : States, drained : BOOLEAN, acknowledged : Answers,
             takeover : [hold : Holds, ledger : Ledgers]]
NoStatus == [there |-> FALSE, drain |-> "other process", state |-> "running", drained |-> FALSE,
             acknowledged |-> NoAnswer, takeover |-> [hold |-> NoHold, ledger |-> NoEntry]]

Records == [there : BOOLEAN, by : Writers, token : NonceOrNone]
NoRecord == [there |-> FALSE, by |-> "owner", token |-> 0]

(* "stale": a write of another epoch, whatever it asks for. *)
Files == [action : {"absent", "drain", "commit", "cancel", "override", "stale"}, by : Writers, nonce : NonceOrNone,
          token : NonceOrNone, drain : Drains]
NoFile == [action |-> "absent", by |-> "owner", nonce |-> 0, token |-> 0, drain |-> "other process"]

(* While it acts, its nonce is its token. *)
Owners == [phase : {"idle", "waiting", "saw drained", "committing", "acting", "leaving"}, nonce : NonceOrNone,
           drain : Drains]
Owner(phase, nonce) == [phase |-> phase, nonce |-> nonce, drain |-> "other process"]

(* In ticks from the beginning of a shutdown. Its deadline is one tick before. *)
ForcedAfter == 2

TypeOK == /\ gateway \in {"dead", "started", "looked", "serving"}
          /\ state \in States \union {"abandoned"}
          /\ turns \in 0..1
          /\ interrupted \in BOOLEAN
          /\ ticks \in 0..ForcedAfter
          /\ hold \in Holds
          /\ ledger \in Ledgers
          /\ status \in Statuses
          /\ record \in Records
          /\ file \in Files
          /\ owner \in Owners
          /\ witnessed \in BOOLEAN
          /\ spoilt \in BOOLEAN
          /\ denied \in NonceOrNone
          /\ overridden \in BOOLEAN
          /\ others \in 0..Others

Init == /\ gateway = "dead" /\ state = "running" /\ turns = 0 /\ interrupted = FALSE /\ ticks = ForcedAfter
        /\ hold = NoHold /\ ledger = NoEntry
        /\ status = NoStatus /\ record = NoRecord /\ file = NoFile
        /\ owner = Owner("idle", 0)
        /\ witnessed = FALSE /\ spoilt = FALSE /\ denied = 0 /\ overridden = FALSE /\ others = Others

Alive == gateway # "dead"
ShuttingDown == state \in {"shutdown_draining", "stopped", "abandoned"}
HasStopped == state \in {"stopped", "abandoned"}
Drained == state \notin {"running", "abandoned"} /\ turns = 0        \* Section 3.

-----------------------------------------------------------------------------
(* What is decided of a write (4) *)

StandingOf(h) == IF h.token # 0 THEN "committed" ELSE "held"

(* What has become of a write, or "" if it was not decided. *)
Standing(h, l, nonce) ==
    IF h.held /\ h.nonce = nonce THEN StandingOf(h)
    ELSE IF l.nonce # nonce THEN ""
    ELSE IF l.decided # "stands" THEN l.decided
    ELSE IF h.held THEN StandingOf(h) ELSE ""

Note(l, decided) == [nonce |-> file.nonce, decided |-> decided, lapsed |-> l.lapsed /\ decided # "stands"]

(* The hold has ended, and what stood with it has. *)
EndedWith(l, ending) ==
    IF l.nonce = 0 THEN l
    ELSE [l EXCEPT !.decided = IF @ = "stands" THEN ending ELSE @, !.lapsed = @ \/ ending = "ended: expired"]

(* A hold whose lease has run out ends. A committed hold has no lease (H4). *)
Expire(h, l) ==
    IF h.held /\ h.token = 0 /\ h.left = 0
    THEN [hold |-> NoHold, ledger |-> EndedWith(l, "ended: expired")]
    ELSE [hold |-> h, ledger |-> l]

(* That the file is definitely absent ends an uncommitted hold, if what lay there last was its owner's. *)
Absent ==
    LET stays == (hold.token # 0 /\ CommitOutlastsItsFile) \/ (hold.overwritten /\ OverwritingIsKnown)
        left == Expire(IF stays THEN hold ELSE NoHold, ledger)
    IN [hold |-> left.hold, ledger |-> NoEntry]

NotYours(h) == OwnerIsCompared /\ file.by # h.by

(* The table in section 4. The first line that fits decides. *)
Decide(h, l) ==
    LET refused(why) == [hold |-> h, ledger |-> Note(l, why)] IN
    CASE file.action = "stale" -> refused("ignored: other_epoch")
      [] file.action = "override" ->
            IF ~h.held /\ ShuttingDown THEN refused("refused: shutting_down")
            ELSE [hold |-> NoHold, ledger |-> Note(EndedWith(l, "ended: overridden"), "ended: overridden")]
      [] file.action \in {"drain", "commit"} /\ ShuttingDown -> refused("refused: shutting_down")
      [] file.action = "drain" /\ ~ShuttingDown ->
            IF h.held /\ NotYours(h) THEN refused("refused: not_yours")
            ELSE IF h.token # 0 THEN refused("refused: committed")
            ELSE [hold |-> HoldOf(file.by, file.nonce), ledger |-> Note(l, "stands")]
      [] file.action = "commit" /\ ~ShuttingDown ->
            IF file.drain = "other process" THEN refused("refused: other_incarnation")
            ELSE IF h.held /\ NotYours(h) THEN refused("refused: not_yours")
            ELSE IF ~h.held THEN refused(IF l.lapsed THEN "refused: lease_expired" ELSE "refused: not_held")
            ELSE IF file.drain = "earlier" THEN refused("refused: other_generation")
            ELSE IF ~Drained THEN refused("refused: not_drained")
            ELSE [hold |-> CommittedHold(file.by, file.nonce), ledger |-> Note(l, "stands")]
      [] file.action = "cancel" ->
            IF h.held /\ NotYours(h) THEN refused("refused: not_yours")
            ELSE IF h.token # 0 /\ h.token # file.token THEN refused("refused: committed")
            ELSE IF ~h.held /\ ShuttingDown THEN refused("refused: shutting_down")
            ELSE [hold |-> NoHold, ledger |-> Note(EndedWith(l, "ended: withdrawn"), "ended: withdrawn")]

(* Each write is decided once (S2). *)
Decided(h, l) ==
    IF Standing(h, l, file.nonce) = "" THEN Decide(h, l)
    ELSE [hold |-> h, ledger |-> IF l.nonce = file.nonce THEN l ELSE Note(l, "stands")]

(* One look, in the order of section 5.4: absence; renewals and commits, then leases that have run out; everything else. *)
AfterLook ==
    IF file.action = "absent" THEN Absent
    ELSE LET renews == file.action \in {"drain", "commit"} /\ hold.held /\ file.by = hold.by
             decided == Decided(hold, ledger)
             left == Expire(hold, ledger)
             after == IF renews THEN Expire(decided.hold, decided.ledger) ELSE Decided(left.hold, left.ledger)
             overwritten == after.hold.held /\ (file.action = "stale" \/ file.by # after.hold.by)
         IN [after EXCEPT !.hold.overwritten = overwritten]

-----------------------------------------------------------------------------
(* What is written to the disk, and what a process that starts takes over (8) *)

RecordOf(h) ==
    IF CommitIsRecorded THEN [there |-> TRUE, by |-> IF h.token # 0 THEN h.by ELSE "owner", token |-> h.token] ELSE record

(* A look that grants a commit has put it on record first (5.4). *)
RecordBefore(h) == IF h.token # 0 /\ h.token # hold.token THEN RecordOf(h) ELSE record

Acknowledged ==
    LET outcome == Standing(hold, ledger, ledger.nonce) IN
    IF ledger.nonce = 0 \/ outcome = "" THEN NoAnswer ELSE [nonce |-> ledger.nonce, outcome |-> outcome]

(* All decisions but that a process was shutting down, which is its own affair. *)
Takeover ==
    LET a == Acknowledged
        decided == IF a.outcome \in {"held", "committed"} THEN "stands" ELSE a.outcome
    IN [hold |-> IF hold.token # 0 /\ ~CommitIsRestored THEN NoHold ELSE hold,
        ledger |-> IF a.nonce = 0 \/ a.outcome = "refused: shutting_down" THEN NoEntry
                   ELSE [nonce |-> a.nonce, decided |-> decided, lapsed |-> decided = "ended: expired"]]

(* Without a status: the commits on record. A file that says `commit` and is on no record is an uncommitted hold. *)
FromRecordAndFile ==
    CASE record.token # 0 ->
            [hold |-> IF CommitIsRestored THEN CommittedHold(record.by, record.token) ELSE NoHold, ledger |-> NoEntry]
      [] record.token = 0 /\ file.action = "commit" ->
            IF UnprovenIsUncommitted
            THEN [hold |-> HoldOf(file.by, 0),
                  ledger |-> [nonce |-> file.nonce, decided |-> "refused: not_held", lapsed |-> FALSE]]
            ELSE [hold |-> CommittedHold(file.by, file.nonce),
                  ledger |-> [nonce |-> file.nonce, decided |-> "stands", lapsed |-> FALSE]]
      [] OTHER -> [hold |-> NoHold, ledger |-> NoEntry]

-----------------------------------------------------------------------------
(* The gateway *)

(* 2: each move out of `running` is a new generation. What was read of an earlier one is of an earlier one. *)
NewGeneration ==
    LET Older(drain) == IF drain = "current" THEN "earlier" ELSE drain
    IN /\ status' = [status EXCEPT !.drain = Older(@)]
       /\ file' = [file EXCEPT !.drain = Older(@)]
       /\ owner' = [owner EXCEPT !.drain = Older(@)]

(* 2, 4, 9: the state follows the hold; a shutdown follows the turns in flight and its deadline. *)
Settle(h) ==
    IF state = "running" /\ h.held
    THEN state' = "external_draining" /\ NewGeneration /\ UNCHANGED interrupted
    ELSE /\ state' = CASE state = "external_draining" /\ ~h.held -> "running"
                       [] state = "shutdown_draining" /\ turns = 0 -> "stopped"
                       [] state = "shutdown_draining" /\ turns > 0 /\ ticks = 0 -> "abandoned"
                       [] OTHER -> state
         /\ interrupted' = (interrupted \/ (state = "shutdown_draining" /\ ticks <= 1))
         /\ UNCHANGED <<status, file, owner>>

(* 8: a process starts, and takes over what an earlier one of its epoch has left. *)
Start == /\ ~Alive
         /\ gateway' = "started"
         /\ LET left == IF status.there THEN status.takeover ELSE FromRecordAndFile
            IN hold' = left.hold /\ ledger' = left.ledger /\ Settle(left.hold)
         /\ UNCHANGED <<turns, ticks, record>>

(* 5.4: it looks at the file. *)
Look == /\ Alive
        /\ gateway' = IF gateway = "started" THEN "looked" ELSE gateway
        /\ LET after == AfterLook
           IN hold' = after.hold /\ ledger' = after.ledger /\ record' = RecordBefore(after.hold) /\ Settle(after.hold)
        /\ UNCHANGED <<turns, ticks>>

(* 5.4, 6: it publishes its status, and before that the record of the commits that stand. *)
Publish == /\ gateway \in {"looked", "serving"}
           /\ gateway' = "serving"
           /\ record' = RecordOf(hold)
           /\ status' = [there |-> TRUE, drain |-> "current", state |-> IF HasStopped THEN "stopped" ELSE state,
                         drained |-> Drained, acknowledged |-> Acknowledged, takeover |-> Takeover]
           /\ UNCHANGED <<state, turns, interrupted, ticks, hold, ledger, file, owner>>

(* The process is gone, and with it all that it knew. *)
Gone == /\ gateway' = "dead" /\ state' = "running" /\ turns' = 0 /\ interrupted' = FALSE /\ ticks' = ForcedAfter
        /\ hold' = NoHold /\ ledger' = NoEntry
        /\ status' = [NoStatus EXCEPT !.there = status.there, !.takeover = status.takeover]
        /\ file' = [file EXCEPT !.drain = "other process"]
        /\ owner' = [owner EXCEPT !.drain = "other process"]

Crash == Alive /\ ~HasStopped /\ Gone /\ UNCHANGED record

(* 8: it is killed between the record and what was to follow it. *)
CrashWhileRecording == /\ Alive /\ ~HasStopped
                       /\ LET granted == AfterLook.hold
                              recorded == IF granted.token # 0 /\ granted.token # hold.token THEN granted ELSE hold
                          IN record' = RecordOf(recorded)
                       /\ record' # record
                       /\ Gone

(* 9: it shuts down. The hold stays in every status to the last one. *)
BeginShutdown == /\ Shutdowns /\ gateway = "serving" /\ ~ShuttingDown
                 /\ state' = IF turns = 0 THEN "stopped" ELSE "shutdown_draining"
                 /\ IF state = "running" THEN NewGeneration ELSE UNCHANGED <<status, file, owner>>
                 /\ UNCHANGED <<gateway, turns, interrupted, ticks, hold, ledger, record>>

Exit == Alive /\ HasStopped /\ Gone /\ UNCHANGED record

(* 3: a turn enters and ends. *)
Turns(count) == turns' = count /\ UNCHANGED <<gateway, state, interrupted, ticks, hold, ledger, status, record, file, owner>>
Admit == gateway = "serving" /\ state = "running" /\ turns = 0 /\ Turns(1)
EndTurn == turns > 0 /\ Turns(turns - 1)

-----------------------------------------------------------------------------
(* Time, the operator, the disk *)

Less(n) == IF n > 0 THEN n - 1 ELSE 0

(* 4: one clock runs for all leases, also for those that a status keeps. *)
Tick == /\ hold' = [hold EXCEPT !.left = Less(@)]
        /\ status' = [status EXCEPT !.takeover.hold.left = Less(@)]
        /\ ticks' = IF state = "shutdown_draining" THEN Less(ticks) ELSE ticks
        /\ UNCHANGED <<gateway, state, turns, interrupted, ledger, record, file, owner>>

Disk == UNCHANGED <<gateway, state, turns, interrupted, ticks, hold, ledger, owner>>

(* 8, 12: a lost status or record. ASSUMPTION 1. *)
Acting == owner.phase = "acting"
LoseStatus == /\ status.there
              /\ Acting /\ ~overridden /\ CommitIsRecorded => record.token # 0
              /\ status' = NoStatus /\ Disk /\ UNCHANGED <<record, file>>
LoseRecord == /\ record.there
              /\ Acting /\ ~overridden => status.takeover.hold.token # 0
              /\ record' = NoRecord /\ Disk /\ UNCHANGED <<status, file>>

(* 4: an operator removes the hold file, whatever it says. *)
Remove == file.action # "absent" /\ file' = NoFile /\ Disk /\ UNCHANGED <<status, record>>

-----------------------------------------------------------------------------
(* The owner (7) *)

NoncesOf(h, l) == {h.nonce, h.token, l.nonce}
Borne == {0, file.nonce, file.token, record.token, status.acknowledged.nonce, owner.nonce, denied}
         \union NoncesOf(hold, ledger) \union NoncesOf(status.takeover.hold, status.takeover.ledger)
(* The lowest, so that states that differ in nothing but the names of nonces are often one. *)
Fresh == CHOOSE n \in Nonces \ Borne : \A m \in Nonces \ Borne : n <= m

WriteAs(by, action, token, drain) ==
    file' = [action |-> action, by |-> by, nonce |-> Fresh, token |-> token, drain |-> drain]
Write(action, token, drain) == WriteAs("owner", action, token, drain)
OwnerOnly == UNCHANGED <<gateway, state, turns, interrupted, ticks, hold, ledger, status, record>>

(* 4, 7: it begins, or renews while it waits. *)
WriteDrain == /\ owner.phase \in {"idle", "waiting", "saw drained"}
              /\ Write("drain", 0, "other process") /\ owner' = Owner("waiting", Fresh) /\ OwnerOnly

WriteCommit == /\ owner.phase = "saw drained"
               /\ Write("commit", 0, owner.drain) /\ owner' = Owner("committing", Fresh) /\ OwnerOnly

(* 4, 12: it renews while it acts, as it needn't. *)
Rewrite == Acting /\ Write("drain", 0, "other process") /\ OwnerOnly /\ UNCHANGED owner

WriteCancel == /\ owner.phase \in {"committing", "acting"}
               /\ Write("cancel", owner.nonce, "other process") /\ owner' = Owner("leaving", Fresh) /\ OwnerOnly

(* It removes its file; or leaves its `cancel` there, which takes effect without it. *)
GiveUp == /\ \/ owner.phase \in {"waiting", "saw drained"} /\ file' = IF file.by = "owner" THEN NoFile ELSE file
             \/ owner.phase = "idle" /\ file.by = "owner" /\ file.action \in {"drain", "commit"} /\ file' = NoFile
             \/ owner.phase = "leaving" /\ file' = file
          /\ owner' = Owner("idle", 0) /\ OwnerOnly

(* What the status acknowledges of the write that it waits for. *)
Heard ==
    IF ~NonceIsAwaited /\ owner.phase = "committing" /\ status.takeover.hold.token # 0 THEN "committed"
    ELSE IF ~NonceIsAwaited /\ owner.phase = "waiting" /\ status.takeover.hold.held THEN "held"
    ELSE IF owner.nonce # 0 /\ status.acknowledged.nonce = owner.nonce THEN status.acknowledged.outcome
    ELSE ""

(* 7: it reads the status of the live process. *)
Believed == Alive /\ status.there /\ status.drain # "other process"
Read == /\ Believed
        /\ \/ /\ owner.phase = "waiting" /\ Heard \in {"held", "committed"} /\ status.drained
              /\ owner' = [Owner("saw drained", 0) EXCEPT !.drain = status.drain]
           \/ /\ owner.phase = "committing" /\ Heard = "committed"
              /\ owner' = Owner("acting", owner.nonce)
           \/ /\ owner.phase \in {"waiting", "committing", "leaving"} /\ Heard \in Refusals \union Endings
              /\ owner' = Owner("idle", 0)
        /\ OwnerOnly /\ UNCHANGED file

-----------------------------------------------------------------------------
(* Others (4, 8). Of a second owner is followed only what it writes: any request, at any time, also with the token. An
   override may come while the status that grants still lies there: who is told then is told by an old truth. *)

WriteOver == /\ others > 0 /\ others' = others - 1
             /\ \/ WriteAs("other", "drain", 0, "other process")
                \/ WriteAs("other", "commit", 0, status.drain)
                \/ WriteAs("other", "cancel", hold.token, "other process")
                \/ WriteAs("other", "override", 0, "other process")
                \/ WriteAs("other", "stale", 0, "other process")
             /\ OwnerOnly /\ UNCHANGED owner

(* The machine reboots: what lies there is of another epoch, and so is everybody's right to act. *)
Reboot == /\ others > 0 /\ others' = others - 1
          /\ gateway' = "dead" /\ state' = "running" /\ turns' = 0 /\ interrupted' = FALSE /\ ticks' = ForcedAfter
          /\ hold' = NoHold /\ ledger' = NoEntry /\ status' = NoStatus /\ record' = NoRecord
          /\ file' = IF file.action = "absent" THEN NoFile
                     ELSE [NoFile EXCEPT !.action = "stale", !.by = file.by, !.nonce = file.nonce]
          /\ owner' = Owner("idle", 0)

-----------------------------------------------------------------------------

History ==
    LET same == owner'.phase = owner.phase /\ owner'.nonce = owner.nonce
        looked == gateway' \in {"looked", "serving"}
        stands == hold'.token = owner'.nonce
        granted == owner'.phase = "committing" /\ (stands \/ (~looked /\ same /\ witnessed))
        isRefused == owner.phase = "committing" /\ owner'.phase = "idle" /\ Heard \in Refusals
        no == IF isRefused THEN owner.nonce ELSE denied
    IN /\ witnessed' = IF owner'.phase = "waiting" THEN (same /\ witnessed) \/ (looked /\ Drained') ELSE granted
       /\ spoilt' = (granted /\ ((same /\ spoilt) \/ turns' > 0))
       /\ denied' = IF owner'.phase = "idle" /\ file'.nonce = no THEN no ELSE 0
       /\ overridden' = /\ owner'.phase \in {"committing", "acting"} /\ hold'.token # owner'.nonce
                        /\ overridden \/ (Alive /\ Alive' /\ file.action = "override" /\ hold.token = owner.nonce)

(* A step that changes nothing is none. *)
Step == History /\ vars' # vars

Alone == /\ \/ Start \/ Look \/ Publish \/ Crash \/ CrashWhileRecording \/ BeginShutdown \/ Exit \/ Admit \/ EndTurn
            \/ Tick \/ LoseStatus \/ LoseRecord \/ Remove
            \/ WriteDrain \/ WriteCommit \/ Rewrite \/ WriteCancel \/ GiveUp \/ Read
         /\ UNCHANGED others
Next == (Alone \/ WriteOver \/ Reboot) /\ Step

Unfair == Init /\ [][Next]_vars
Spec == Unfair /\ WF_vars(Look /\ UNCHANGED others /\ Step)

-----------------------------------------------------------------------------
(* Invariants *)

(* E1: from a granted commit until its own withdrawal, an override or a new epoch no turn is in flight. E1Told has the time
   until its owner is told. *)
E1 == Acting /\ ~overridden => turns = 0
(* H1: closed if and only if a live hold or a shutdown exists. *)
H1 == Alive => (state # "running" <=> hold.held \/ ShuttingDown)
(* S2: a commit that its owner was told is refused is not granted later. *)
S2 == denied # 0 => hold.token # denied
(* S5: stopped with work left only if forced, and then it is recorded. *)
S5 == state = "stopped" => turns = 0
(* C5: a gateway that starts admits nothing before it has looked and published. *)
C5 == turns > 0 => gateway = "serving"

(* Properties *)

Told(phase) == owner.phase # phase /\ owner'.phase = phase
(* E1: none was in flight from the grant until its owner is told. *)
E1Told == [][Told("acting") => ~spoilt]_vars
(* E2: an owner is told by a live gateway; C6: of its very write, and of what is so. *)
E2 == [][Told("saw drained") \/ Told("acting") => Alive']_vars
C6 == [][Told("saw drained") \/ Told("acting") => witnessed \/ overridden']_vars
(* G2, G3: while the gate is closed, no turn comes in. *)
G2 == [][Alive /\ Alive' /\ state # "running" => turns' <= turns]_vars
G3 == [][Alive /\ Alive' /\ Drained => Drained' \/ state' = "running"]_vars
(* S3: a shutdown wins; S4: stopped is final. *)
S3 == [][Alive' /\ ShuttingDown => ShuttingDown']_vars
S4 == [][Alive' /\ HasStopped => HasStopped']_vars
(* H3: before commit, a hold whose lease has run out is renewed or ends. *)
LeaseIsOver == Alive /\ hold.held /\ hold.token = 0 /\ hold.left = 0
H3 == LeaseIsOver ~> ~LeaseIsOver
(* H3 of each look, no matter who has written: what it leaves uncommitted has a lease that runs. *)
H3Look == [][hold'.held /\ hold'.token = 0 /\ hold'.left = 0 => ~Look]_vars
(* H4: a committed hold ends by its owner's token or an override alone, as long as the process lives. Its owner's second
   commit takes the first one's place. *)
H4 == [][Alive /\ Alive' /\ hold.token # 0 /\ hold'.token # hold.token
         => \/ file.action = "cancel" /\ file.token = hold.token /\ file.by = hold.by
            \/ file.action = "override"
            \/ file.action = "commit" /\ file.by = hold.by /\ hold'.token = file.nonce]_vars
(* C3: a write of another epoch begins nothing; C7: nobody's write, nor its removal, ends or takes over another's live hold. *)
C3 == [][Alive /\ Alive' /\ file.action = "stale" /\ hold'.held => hold.held]_vars
Expired == hold.token = 0 /\ hold.left = 0
Foreign == \/ file.action = "stale" \/ (file.action \notin {"absent", "override"} /\ file.by # hold.by)
           \/ (file.action = "absent" /\ hold.overwritten)
C7 == [][Alive /\ Alive' /\ hold.held /\ ~Expired /\ Foreign
         => hold'.held /\ hold'.by = hold.by /\ hold'.nonce = hold.nonce /\ hold'.token = hold.token]_vars
(* L2: when the hold has ended, the gateway runs again. *)
ClosedForNothing == Alive /\ state = "external_draining" /\ file.action = "absent" /\ hold.token = 0
L2 == ClosedForNothing ~> ~ClosedForNothing
=============================================================================

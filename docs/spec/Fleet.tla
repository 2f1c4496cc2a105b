------------------------------- MODULE Fleet -------------------------------
(***************************************************************************)
(* A fleet of gateways that share a budget (docs/fleet.md): two            *)
(* controllers roll three gateways, in any order and for ever, and are     *)
(* killed at any point. The engine keeps a semaphore and, for each         *)
(* gateway, a note of who uses its slot; a transaction compares what it    *)
(* was decided from. E4 is the invariant.                                  *)
(*                                                                         *)
(* `.ci/tlc` checks it with TLC, and compares the numbers of states and    *)
(* steps with those of `verification/protocol`, which asks the crate.      *)
(*                                                                         *)
(* ASSUMPTIONS: what a controller asks of a gateway is noticed in one look *)
(* together with all that was asked before; a controller is held to be     *)
(* dead only if it is; nobody gives back by hand the slot of a gateway     *)
(* that is closed.                                                         *)
(*                                                                         *)
(* LEFT OUT: lost answers other than by death, an engine that is cut off,  *)
(* acts that fail, controllers that leave, an operator, liveness (L6): the *)
(* model has them.                                                         *)
(***************************************************************************)
EXTENDS Naturals, FiniteSets

CONSTANTS
    Budget,            \* How many may be closed at once.
    \* Three rules, each of which can be left out to see E4 break.
    Compares,          \* A transaction compares the revision that it was decided from.
    WaitsUntilReady,   \* A slot is given back once the gateway is ready.
    TakesFirst         \* A slot is taken before the gateway closes.

ASSUME Budget \in Nat \ {0}
ASSUME {Compares, WaitsUntilReady, TakesFirst} \subseteq BOOLEAN

Gateways == 0..2
Controllers == 0..1

VARIABLES
    holders,      \* The gateways that have a slot.
    notes,        \* Who uses the slot of each.
    holds,        \* What each controller has asked of each gateway.
    ready,        \* Whether a gateway runs and is ready, as far as no hold is concerned.
    controller    \* Where each controller is.

vars == <<holders, notes, holds, ready, controller>>

-----------------------------------------------------------------------------
(* Types *)

Parts == {"absent", "has", "inherits"}
Notes == [there : BOOLEAN, takers : [Controllers -> Parts], dead : BOOLEAN, kept : BOOLEAN]
NoNote == [there |-> FALSE, takers |-> [c \in Controllers |-> "absent"], dead |-> FALSE, kept |-> FALSE]

(* A transaction: the holders and the note of one gateway. *)
Messages == [holders : SUBSET Gateways, id : Gateways, note : Notes, current : BOOLEAN,
             fate : {"on its way", "applied", "refused"}]
Nothing == [holders |-> {}, id |-> 0, note |-> NoNote, current |-> FALSE, fate |-> "none"]

(* "asked" closes nothing yet; "renewed" closes, and is asked for once more. *)
Holds == {"absent", "asked", "renewed", "held", "committed"}
Closes == {"renewed", "held", "committed"}
Phases == {"idle", "waits", "takes", "has", "closes", "committed", "acted", "withdrawn", "ends", "ending"}

TypeOK == /\ holders \subseteq Gateways
          /\ notes \in [Gateways -> Notes]
          /\ holds \in [Gateways -> [Controllers -> Holds]]
          /\ ready \in [Gateways -> BOOLEAN]
          /\ \A c \in Controllers : /\ controller[c].phase \in Phases
                                    /\ controller[c].gateway \in Gateways
                                    /\ controller[c].asked \in Messages \union {Nothing}
                                    /\ controller[c].late \in Messages \union {Nothing}

Idle == [phase |-> "idle", gateway |-> 0, asked |-> Nothing, late |-> Nothing]

Init == /\ holders = {} /\ notes = [g \in Gateways |-> NoNote]
        /\ holds = [g \in Gateways |-> [c \in Controllers |-> "absent"]]
        /\ ready = [g \in Gateways |-> TRUE]
        /\ controller = [c \in Controllers |-> Idle]

Closed(g) == ~ready[g] \/ \E c \in Controllers : holds[g][c] \in Closes

-----------------------------------------------------------------------------
(* What a controller decides from what it has read *)

Taken(c) == [NoNote EXCEPT !.there = TRUE, !.takers[c] = "has"]
Joined(c, note, knows) ==
    LET inherits == note.kept \/ (knows /\ note.dead)
    IN [note EXCEPT !.takers[c] = IF inherits THEN "inherits" ELSE "has", !.dead = @ /\ ~knows, !.kept = FALSE]

Left(c, note) == [note EXCEPT !.takers[c] = "absent"]
InUse(note) == note.dead \/ note.kept \/ \E c \in Controllers : note.takers[c] # "absent"

Says(of, id, note) == [holders |-> of, id |-> id, note |-> note, current |-> TRUE, fate |-> "on its way"]

-----------------------------------------------------------------------------
(* The engine *)

(* What was compared is old; what nobody waits for and can't be applied any more is gone. *)
Older(message) == IF Compares THEN [message EXCEPT !.current = FALSE] ELSE message
AllOlder(all) ==
    [c \in Controllers |-> [all[c] EXCEPT !.asked = Older(@), !.late = IF Compares THEN Nothing ELSE @]]

Applies(message) == holders' = message.holders /\ notes' = [notes EXCEPT ![message.id] = message.note]

(* A process ends. What it left in the notes, and in what is on its way to them, is a dead one's. *)
Buried(c, note) == [note EXCEPT !.takers[c] = "absent", !.dead = @ \/ note.takers[c] # "absent"]
BuriedIn(c, message) == [message EXCEPT !.note = Buried(c, @)]
Ends(c, all) ==
    LET asked == all[c].asked
        late == IF all[c].late # Nothing THEN all[c].late
                ELSE IF asked.fate = "on its way" /\ asked.current THEN asked ELSE Nothing
        gone == [all EXCEPT ![c] = [Idle EXCEPT !.late = late]]
    IN /\ notes' = [g \in Gateways |-> Buried(c, notes[g])]
       /\ controller' = [d \in Controllers |->
                           [gone[d] EXCEPT !.asked = BuriedIn(c, @), !.late = BuriedIn(c, @)]]

(* Where it is when it has the slot. *)
HasSlot == IF TakesFirst THEN "has" ELSE "closes"

Read(c, knows) ==
    LET me == controller[c]
        g == me.gateway
        note == notes[g]
        asks(phase, of, new) == /\ controller' = [controller EXCEPT ![c].phase = phase, ![c].asked = Says(of, g, new)]
                                /\ UNCHANGED <<holders, notes, holds, ready>>
        goes(phase) == controller' = [controller EXCEPT ![c].phase = phase] /\ UNCHANGED <<holders, notes, holds, ready>>
    IN \/ /\ me.phase = "waits"
          /\ knows => note.dead
          /\ IF g \notin holders
             THEN Cardinality(holders) < Budget /\ asks("takes", holders \union {g}, Taken(c))
             ELSE IF note.takers[c] # "absent" THEN goes(HasSlot)
             ELSE asks("takes", holders, Joined(c, note, knows))
       \/ /\ me.phase = "ends" /\ ~knows
          /\ IF g \notin holders \/ note.takers[c] = "absent"
             THEN Ends(c, controller) /\ UNCHANGED <<holders, holds, ready>>
             ELSE IF InUse(Left(c, note)) THEN asks("ending", holders, Left(c, note))
             ELSE asks("ending", holders \ {g}, NoNote)

Apply(c) ==
    LET asked == controller[c].asked IN
    /\ asked.fate = "on its way"
    /\ IF asked.current
       THEN Applies(asked) /\ controller' = [AllOlder(controller) EXCEPT ![c].asked.fate = "applied"]
       ELSE controller' = [controller EXCEPT ![c].asked.fate = "refused"] /\ UNCHANGED <<holders, notes>>
    /\ UNCHANGED <<holds, ready>>

Answer(c) ==
    LET me == controller[c]
        told == [controller EXCEPT ![c].asked = Nothing]
        goes(phase) == controller' = [told EXCEPT ![c].phase = phase] /\ UNCHANGED notes
    IN /\ me.asked.fate \in {"applied", "refused"}
       /\ CASE me.phase = "ending" /\ me.asked.fate = "applied" -> Ends(c, told)
            [] me.phase = "ending" /\ me.asked.fate = "refused" -> goes("ends")
            [] me.phase = "takes" /\ me.asked.fate = "applied" -> goes(HasSlot)
            [] OTHER -> goes("waits")
       /\ UNCHANGED <<holders, holds, ready>>

(* What a dead controller asked arrives, or never does. *)
Late(c) ==
    /\ controller[c].late # Nothing
    /\ \/ controller' = [controller EXCEPT ![c].late = Nothing] /\ UNCHANGED <<holders, notes>>
       \/ /\ Applies(controller[c].late)
          /\ controller' = [AllOlder(controller) EXCEPT ![c].late = Nothing]
    /\ UNCHANGED <<holds, ready>>

-----------------------------------------------------------------------------
(* A roll *)

Engine == UNCHANGED <<holders, notes>>
Goes(c, phase) == controller' = [controller EXCEPT ![c].phase = phase]
Own(c) == holds[controller[c].gateway][c]
Holding(c, hold) == holds' = [holds EXCEPT ![controller[c].gateway][c] = hold]

Begin(c) == /\ controller[c].phase = "idle"
            /\ \E g \in Gateways :
                 controller' = [controller EXCEPT ![c].phase = IF TakesFirst THEN "waits" ELSE "has", ![c].gateway = g]
            /\ Engine /\ UNCHANGED <<holds, ready>>

Roll(c) ==
    /\ Engine
    /\ \/ /\ controller[c].phase = "has" /\ Own(c) # "committed"
          /\ Goes(c, IF TakesFirst THEN "closes" ELSE "waits")
          /\ Holding(c, IF Own(c) \in Closes THEN "renewed" ELSE "asked")
          /\ UNCHANGED ready
       \/ /\ controller[c].phase = "closes" /\ Own(c) = "held"
          /\ Goes(c, "committed") /\ Holding(c, "committed") /\ UNCHANGED ready
       \/ /\ controller[c].phase = "committed"
          /\ Goes(c, "acted") /\ ready' = [ready EXCEPT ![controller[c].gateway] = FALSE] /\ UNCHANGED holds
       \/ /\ controller[c].phase = "acted"
          /\ Goes(c, IF WaitsUntilReady THEN "withdrawn" ELSE "ends") /\ Holding(c, "absent") /\ UNCHANGED ready
       \/ /\ controller[c].phase = "withdrawn" /\ ~Closed(controller[c].gateway)
          /\ Goes(c, "ends") /\ UNCHANGED <<holds, ready>>

Kill(c) == controller[c].phase # "idle" /\ Ends(c, controller) /\ UNCHANGED <<holders, holds, ready>>

-----------------------------------------------------------------------------
(* The gateways *)

(* One look notices all that is asked. *)
Look(g) ==
    /\ {c \in Controllers : holds[g][c] \in {"asked", "renewed"}} # {}
    /\ holds' = [holds EXCEPT ![g] = [c \in Controllers |-> IF @[c] \in {"asked", "renewed"} THEN "held" ELSE @[c]]]
    /\ Engine /\ UNCHANGED <<ready, controller>>

BecomeReady(g) == ~ready[g] /\ ready' = [ready EXCEPT ![g] = TRUE] /\ Engine /\ UNCHANGED <<holds, controller>>

(* What a controller left there ends: by its lease, a withdrawal or an override. *)
EndHold(c, g) ==
    /\ holds[g][c] # "absent"
    /\ ~(controller[c].gateway = g /\ controller[c].phase \in {"closes", "committed", "acted", "withdrawn"})
    /\ holds' = [holds EXCEPT ![g][c] = "absent"]
    /\ Engine /\ UNCHANGED <<ready, controller>>

-----------------------------------------------------------------------------

(* A step that changes nothing is none. *)
Next == /\ \/ \E c \in Controllers : \/ Begin(c) \/ Roll(c) \/ Kill(c) \/ Apply(c) \/ Answer(c) \/ Late(c)
                                     \/ Read(c, FALSE) \/ Read(c, TRUE)
           \/ \E g \in Gateways : \/ Look(g) \/ BecomeReady(g) \/ \E c \in Controllers : EndHold(c, g)
        /\ vars' # vars

Spec == Init /\ [][Next]_vars

(* E4: at most so many are closed as the budget says. *)
E4 == Cardinality({g \in Gateways : Closed(g)}) <= Budget
(* E4, and why: what is closed, or is asked to close, has its slot; and no more slots are taken than there are. *)
E4Slots == /\ Cardinality(holders) <= Budget
           /\ \A g \in Gateways : Closed(g) \/ (\E c \in Controllers : holds[g][c] # "absent") => g \in holders
=============================================================================

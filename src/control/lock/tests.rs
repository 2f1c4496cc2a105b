use super::*;

#[test]
fn a_process_or_a_system_without_descriptors_is_short_of_them_and_nothing_else_is() {
    for (errno, expected) in [(Errno::MFILE, true), (Errno::NFILE, true), (Errno::NOENT, false), (Errno::ACCESS, false)]
    {
        assert_eq!(is_shortage(&errno.into()), expected, "{errno}");
    }
}

fn record_in(home: &Home) -> String {
    std::fs::read_to_string(home.lock_path()).unwrap()
}

#[test]
fn a_lock_that_is_taken_bears_no_name_until_its_holder_writes_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path());
    drop(home.lock(&Incarnation::fresh()).unwrap());
    assert_ne!(record_in(&home), "", "the dead have left their name");
    let file = open(&OpenHome::open(home.path()).unwrap(), OFlags::RDWR).unwrap().unwrap();
    take(&file).unwrap();
    assert_eq!(home.live().unwrap(), None, "E2: the dead don't live in a lock that another has");
    write_record(&file, &Record::own(&Incarnation::fresh())).unwrap();
    let record = record_in(&home);
    let second = open(&OpenHome::open(home.path()).unwrap(), OFlags::RDWR).unwrap().unwrap();
    assert_eq!(take(&second), Err(Errno::WOULDBLOCK));
    assert_eq!(record_in(&home), record, "a process that doesn't get it leaves it alone");
}

#[test]
fn one_start_at_a_time_looks_at_the_lock_where_there_is_a_folder_to_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let home = OpenHome::open(folder.path()).unwrap();
    let first = StartLock::take(&home).ok().unwrap();
    assert!(first.is_alone());
    assert!(matches!(StartLock::take(&home), Err(Refused::Busy(Holder::Unknown(Home::HOLDS)))));
    // As a child has that is being started in this moment.
    let copy = first.0.as_ref().unwrap().try_clone().unwrap();
    drop(first);
    assert!(StartLock::take(&home).ok().unwrap().is_alone(), "the first is over, although its folder is open still");
    drop(copy);

    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(Home::HOLDS), "no folder").unwrap();
    let home = OpenHome::open(folder.path()).unwrap();
    assert!(!StartLock::take(&home).ok().unwrap().is_alone(), "where nothing can be locked nobody knows");
}

#[test]
fn a_folder_that_another_keeps_locked_has_no_lock_created_in_it_nor_a_dead_one_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let home = OpenHome::open(folder.path()).unwrap();
    let kept = File::open(folder.path()).unwrap();
    flock(&kept, FlockOperation::NonBlockingLockExclusive).unwrap();
    assert!(!lock_folder(&home));
    let attempt = || attempt(&home, &Record::own(&Incarnation::fresh())).map(drop);
    let is_refused = |attempted| matches!(attempted, Err(Refused::Busy(Holder::Unknown(FOLDER))));
    assert!(is_refused(attempt()) && !folder.path().join(Home::LOCK).exists());
    let dead = Record { pid: Some(i32::MAX), ..Record::own(&Incarnation::fresh()) };
    write_record(&create(&home).unwrap(), &dead).unwrap();
    assert!(is_refused(attempt()), "its gateway has died, and another one keeps the folder");
    drop(kept);
    assert!(attempt().is_ok());
}

#[test]
fn a_start_waits_while_another_looks_at_the_lock_and_for_about_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path());
    let first = StartLock::take(&OpenHome::open(home.path()).unwrap()).ok().unwrap();
    let (ended, end) = std::sync::mpsc::channel();
    let second = home.clone();
    let starting = std::thread::spawn(move || ended.send(second.lock(&Incarnation::fresh()).map(drop)).unwrap());
    let early = end.recv_timeout(PAUSE * 10);
    assert!(early.is_err(), "it waits for its turn: {early:?}");
    drop(first);
    let turn = end.recv_timeout(std::time::Duration::from_secs(60)).unwrap();
    turn.unwrap();
    starting.join().unwrap();
    let _first = StartLock::take(&OpenHome::open(home.path()).unwrap()).ok().unwrap();
    let refused = home.lock(&Incarnation::fresh()).map(drop);
    assert!(matches!(refused, Err(LockError::InUse { .. })), "{refused:?}");
}

#[test]
fn a_lock_that_is_replaced_while_it_is_taken_is_tried_for_again() {
    let folder = tempfile::tempdir().unwrap();
    let home = OpenHome::open(folder.path()).unwrap();
    let file = create(&home).unwrap();
    take(&file).unwrap();
    std::fs::rename(folder.path().join(Home::LOCK), folder.path().join("aside")).unwrap();
    create(&home).unwrap();
    let refused = finish(&home, file, &Record::own(&Incarnation::fresh()));
    assert!(matches!(refused, Err(Refused::Busy(_))), "E2: others look at the file that is there now");
}

#[test]
fn a_gateway_that_has_ended_does_not_live_on_in_a_child_that_is_just_being_started() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path());
    let lock = home.lock(&Incarnation::fresh()).unwrap();
    // As a fork has them, until it becomes another program.
    let in_a_child = (lock.file.lock().try_clone().unwrap(), lock.home.folder.try_clone().unwrap());
    drop(lock);
    assert_eq!(home.live().unwrap(), None, "E2: its gateway has ended");
    drop(home.lock(&Incarnation::fresh()).expect("nobody lives there"));
    drop(in_a_child);
}

#[test]
fn a_lock_says_which_process_holds_it_and_since_when_and_where_that_process_is_to_be_found() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path());
    let incarnation = Incarnation::fresh();
    let _lock = home.lock(&incarnation).unwrap();
    let record = Record::parse(&record_in(&home)).unwrap();
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let pid = i32::try_from(std::process::id()).unwrap();
    let expected = Record { incarnation, pid: Some(pid), start: start_time(&stat), namespace: namespace("pid") };
    assert_eq!(record, expected);
    assert!(!record.is_dead());
}

#[test]
fn a_record_of_a_process_that_is_gone_is_a_dead_gateways_where_that_can_be_seen() {
    let mut child = std::process::Command::new("true").spawn().unwrap();
    let pid = i32::try_from(child.id()).unwrap();
    child.wait().unwrap();
    let own = Record::own(&Incarnation::fresh());
    let gone = Record { pid: Some(pid), ..own.clone() };
    assert!(gone.is_dead());
    assert!(
        Record { start: own.start.map(|start| start + 1), ..own.clone() }.is_dead(),
        "another process has its number"
    );
    for unseen in [
        Record { namespace: own.namespace.map(|namespace| namespace + 1), ..gone.clone() },
        Record { namespace: None, ..gone.clone() },
        Record { pid: None, ..gone.clone() },
        Record::parse(&format!("{} {pid}", gone.incarnation)).unwrap(),
        Record { start: None, ..own.clone() },
    ] {
        assert!(!unseen.is_dead(), "only the lock can tell: {unseen:?}");
    }
}

#[test]
fn a_process_is_dead_as_a_zombie_unless_it_has_threads_that_live() {
    let stat = |state: &str, threads: u32| {
        Process::in_stat(&format!("7 (a) b) {state} 1 7 7 0 -1 0 1 2 3 4 5 6 7 8 20 0 {threads} 0 4242 1000"))
    };
    assert!(stat("Z", 1).is_zombie && stat("X", 1).is_zombie);
    assert!(!stat("Z", 2).is_zombie, "its first thread alone has ended");
    assert!(!stat("S", 1).is_zombie && !Process::in_stat("").is_zombie);
    assert_eq!(stat("S", 1).start, Some(4242));
}

#[test]
fn the_home_that_is_locked_is_the_same_wherever_it_is_moved() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path().join("home"));
    let lock = home.lock(&Incarnation::fresh()).unwrap();
    let moved = folder.path().join("moved");
    std::fs::rename(home.path(), &moved).unwrap();
    std::fs::create_dir(home.path()).unwrap();
    lock.write("file", b"content").unwrap();
    assert!(moved.join("file").exists(), "it is the one with the lock, not the one at the path");
}

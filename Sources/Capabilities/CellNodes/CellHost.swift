import Domain
import DriverAPI
import Sandboxing
import Synchronization

/// A running zygote: its process, its groups, and what is known of its instances.
final class CellHost: Sendable {
  /// What is remembered of an instance.
  struct Known {
    var handle: InstanceHandle?
    /// The caller asked it to end: its exit is no news.
    var stopping = false
    /// How it ended, once reported.
    var end: LastError?
    /// Processes of single requests that ended before their cell did, and how many of them for want of memory.
    var requestEnds = 0
    var memoryKills = 0
    var lastTold: ContinuousClock.Instant?
  }

  struct State: ~Copyable {
    var known: [InstanceID: Known] = [:]
    /// Ended instances, oldest first: how they ended is kept for the last ones only.
    var ended: [InstanceID] = []

    mutating func noteEnd(_ instance: InstanceID, _ error: LastError) {
      known[instance, default: Known()].end = error
      ended.append(instance)
      if ended.count > 256 { known[ended.removeFirst()] = nil }
    }

    /// Nobody is to hear of its end any more.
    var silent = false
  }

  let launch: NodeLaunch
  let folder: RunFolder
  let words: FailureWords
  let process: ProcessHandle
  /// What was started; nil when it's gone already or when the service has restarted and it isn't ours to wait
  /// for.
  let outer: ProcessHandle?
  let group: Cgroup?
  let report: HostReport
  let state = Mutex(State())
  let probes = ProbeBook()
  /// Readable when the watcher is to end.
  let stopSignal = Wakeup()
  /// Readable when the watcher has done its last work: it touches nothing of this host any more.
  let watchEnded = Wakeup()

  init(
    record: HostRecord, folder: RunFolder, words: FailureWords, process: ProcessHandle, outer: ProcessHandle?,
    report: HostReport, running: [InstanceID] = []
  ) {
    launch = record.launch
    group = record.group
    self.folder = folder
    self.words = words
    self.process = process
    self.outer = outer
    self.report = report
    state.withLock { state in
      for instance in running { state.known[instance] = Known() }
    }
  }

  var key: HostKey { HostKey(launch.node, launch.release) }

  /// The zygote's own group; its limit is that of the state it restores.
  static func zygoteGroup(_ group: Cgroup?) -> Cgroup? { group?.child("zygote") }

  func group(of instance: InstanceID) -> Cgroup? { group?.child(instance.text) }

  /// Ends what an ended instance left behind: processes it started, its group, its socket, the zygote's
  /// memory of it. May run twice at the same time.
  func cleanUp(_ instance: InstanceID) {
    if let group = group(of: instance) {
      group.killAll()
      group.remove()
    }
    probes.forget(instance)
    // The zygote refuses until it has seen the end itself.
    let deadline = Deadline(after: .seconds(2))
    while !deadline.hasPassed {
      guard let control = try? ControlSocket(folder),
        let answer = try? control.ask(.forget, instance, deadline: deadline)
      else { break }
      if answer.ok { break }
      _ = process.wait(.milliseconds(2))
    }
    Files.removeTree(folder.socket(of: instance))
    Files.removeTree(folder.mark(of: instance))
  }

  /// How an instance ended, waiting a moment for the zygote to say so.
  func end(of instance: InstanceID, within timeout: Duration) -> LastError? {
    let deadline = Deadline(after: timeout)
    while true {
      if let end = state.withLock({ $0.known[instance]?.end }) { return end }
      if deadline.hasPassed { return nil }
      _ = process.wait(.milliseconds(5))
    }
  }
}

/// Connections for health checks and the checks that are still unanswered.
final class ProbeBook: Sendable {
  struct Entry: Sendable {
    let socket: FrameSocket
    var tag: UInt64 = 0
    /// Until when a busy instance may leave the check that is out unanswered; nil when none is out.
    var patience: Deadline?
  }

  private let entries = Mutex<[InstanceID: Entry]>([:])

  /// Whoever takes an entry is the only one to use it.
  func take(_ instance: InstanceID) -> Entry? { entries.withLock { $0.removeValue(forKey: instance) } }
  func put(_ entry: Entry, for instance: InstanceID) { entries.withLock { $0[instance] = entry } }
  func forget(_ instance: InstanceID) { _ = take(instance) }
}

extension CellHost {
  /// One health check. A worker answers between requests, so no answer means busy as long as the one check
  /// that is out is younger than the longest request (and two seconds for the kill that ends a hung one).
  func probe(_ handle: InstanceHandle, timeout: Duration) -> Bool {
    guard ProcessHandle(pid: handle.pid, startTicks: handle.startTicks)?.hasEnded == false else {
      probes.forget(handle.instance)
      return false
    }
    let deadline = Deadline(after: timeout)
    do throws(UnixConnection.Failure) {
      var entry: ProbeBook.Entry
      if let kept = probes.take(handle.instance) {
        entry = kept
      } else {
        entry = ProbeBook.Entry(socket: try FrameSocket(path: folder.socket(of: handle.instance)))
      }
      if entry.patience == nil {
        entry.tag += 1
        try entry.socket.send(.ping, tag: entry.tag, deadline: deadline)
        entry.patience = Deadline(after: .milliseconds(Int64(launch.timeoutMilliseconds) + 2000))
      }
      do throws(UnixConnection.Failure) {
        while true {
          let frame = try entry.socket.receive(deadline: deadline)
          guard frame.kind == FrameSocket.Kind.pong.rawValue, frame.tag == entry.tag else { continue }
          entry.patience = nil
          probes.put(entry, for: handle.instance)
          return true
        }
      } catch .timedOut {
        let busy = entry.patience?.hasPassed == false
        if busy { probes.put(entry, for: handle.instance) }
        return busy
      }
    } catch {
      return false
    }
  }
}

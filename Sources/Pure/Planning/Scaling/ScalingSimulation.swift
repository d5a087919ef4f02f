/// What a policy would have done with given arrivals: the machine that decides for nodes, over a model of their instances.
///
/// Time goes in steps of 10 ms. An instance takes `startSeconds` until it takes requests, and then `width` of them at once, each for
/// the time that it brings. Instances that leave end what they have begun.
public struct ScalingSimulation: Sendable {
  /// One request.
  public struct Arrival: Sendable, Equatable {
    /// From the beginning of the recording.
    public var seconds: Double
    /// How long an instance is busy with it.
    public var serviceSeconds: Double

    public init(seconds: Double, serviceSeconds: Double) {
      self.seconds = seconds
      self.serviceSeconds = serviceSeconds
    }
  }

  /// A change of the number of instances.
  public struct Change: Sendable, Equatable {
    public var seconds: Double
    public var from: Int
    public var decision: ScalingDecision
  }

  public struct Report: Sendable, Equatable {
    public var changes: [Change] = []
    /// How long requests waited for an instance, in seconds, sorted.
    public var waits: [Double] = []
    /// Time that instances were there, added up.
    public var instanceSeconds = 0.0
    /// The most instances at any time.
    public var peak = 0
    /// Instances by the second.
    public var counts: [Int] = []

    /// The wait that this part of the requests did not exceed; 0 without requests.
    public func wait(quantile: Double) -> Double {
      waits.isEmpty ? 0 : waits[min(Int(Double(waits.count) * quantile), waits.count - 1)]
    }

    /// How often the number went up and later down again, or down and up.
    public var turns: Int {
      zip(changes, changes.dropFirst()).count { first, second in
        (first.decision.count > first.from) != (second.decision.count > second.from)
      }
    }
  }

  public var policy: ScalingPolicy
  public var startSeconds: Double
  public var width: Int

  public init(policy: ScalingPolicy, startSeconds: Double, width: Int = 1) {
    self.policy = policy
    self.startSeconds = startSeconds
    self.width = max(width, 1)
  }

  private static let stepsPerSecond = 100

  /// Runs over arrivals in order of time, until `seconds`.
  public func run(_ arrivals: [Arrival], seconds: Int, count initial: Int) -> Report {
    var state = State(machine: ScalingMachine(policy, count: initial, at: .zero), count: initial)
    var report = Report()
    var next = 0
    for step in 0..<(seconds * Self.stepsPerSecond) {
      let time = Double(step) / Double(Self.stepsPerSecond)
      state.finish(step)
      state.ready += state.starting.removeValue(forKey: step) ?? 0
      while next < arrivals.count, arrivals[next].seconds <= time {
        state.queue.append(arrivals[next])
        state.arrived += 1
        next += 1
      }
      let onTheSecond = step % Self.stepsPerSecond == 0
      if step % (ScalingMachine.sampleMilliseconds / 10) == 0 || (state.count == 0 && !state.queueIsEmpty) {
        decide(&state, &report, time, step)
      }
      while state.running < state.ready * width, let one = state.dequeue() {
        report.waits.append(max(time - one.seconds, 0))
        let busy = max(Int((one.serviceSeconds * Double(Self.stepsPerSecond)).rounded()), 1)
        state.begin(until: step + busy)
      }
      report.instanceSeconds += Double(state.count) / Double(Self.stepsPerSecond)
      report.peak = max(report.peak, state.count)
      if onTheSecond { report.counts.append(state.count) }
    }
    report.waits.sort()
    return report
  }

  private func decide(_ state: inout State, _ report: inout Report, _ time: Double, _ step: Int) {
    let waiting = state.queue.count - state.head
    let decision = state.machine.decide(
      ScalingSample(
        at: .milliseconds(Int64(step) * 10), running: state.running, queued: waiting, requests: state.arrived,
        ready: state.ready))
    guard decision.count != state.count else { return }
    report.changes.append(Change(seconds: time, from: state.count, decision: decision))
    if decision.count > state.count {
      let ready = step + max(Int((startSeconds * Double(Self.stepsPerSecond)).rounded()), 1)
      state.starting[ready, default: 0] += decision.count - state.count
    } else {
      // Those that still start leave first: they serve nobody.
      var leaving = state.count - decision.count
      for step in state.starting.keys.sorted(by: >) where leaving > 0 {
        let gone = min(state.starting[step] ?? 0, leaving)
        state.starting[step, default: 0] -= gone
        leaving -= gone
      }
      state.ready -= leaving
    }
    state.count = decision.count
  }

  private struct State {
    var machine: ScalingMachine
    /// As decided: ready and starting.
    var count: Int
    var ready: Int
    /// How many become ready at a step.
    var starting: [Int: Int] = [:]
    var running = 0
    var arrived = 0
    var queue: [Arrival] = []
    var head = 0
    /// How many end at a step.
    private var ending: [Int: Int] = [:]

    init(machine: ScalingMachine, count: Int) {
      self.machine = machine
      self.count = count
      ready = count
    }

    var queueIsEmpty: Bool { head == queue.count }

    mutating func dequeue() -> Arrival? {
      guard head < queue.count else { return nil }
      defer {
        head += 1
        if head == queue.count {
          queue.removeAll(keepingCapacity: true)
          head = 0
        }
      }
      return queue[head]
    }

    mutating func begin(until step: Int) {
      running += 1
      ending[step, default: 0] += 1
    }

    mutating func finish(_ step: Int) { running -= ending.removeValue(forKey: step) ?? 0 }
  }
}

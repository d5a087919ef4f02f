public import Domain
internal import DriverAPI
public import Storage

/// Disturbs instances for drills. Whatever it stopped goes on when it is cancelled.
public struct Disturber: Sendable {
  private struct Order: Sendable {
    var handle: InstanceHandle
    var driver: any InstanceDriver
    var disturbance: Disturbance
    var seconds: Int
  }

  let world: NodeWorld
  let fleet: Fleet
  private let asked: AsyncStream<Order>
  private let asking: AsyncStream<Order>.Continuation

  public init(world: NodeWorld, fleet: Fleet) {
    self.world = world
    self.fleet = fleet
    (asked, asking) = AsyncStream.makeStream()
  }

  /// Ends what it froze or slowed in time, until cancelled.
  public func run() async {
    await withDiscardingTaskGroup { group in
      for await order in asked { group.addTask { await Self.disturb(order) } }
      group.cancelAll()
    }
  }

  /// Begins a disturbance; returns when it has begun. One of an instance that Roost didn't start is refused.
  public func disturb(
    _ instance: InstanceID, of node: NodeRecord, _ request: DisturbRequest
  ) async throws(PlatformError) {
    let seconds = request.seconds ?? 3
    guard (1...30).contains(seconds) else {
      throw .invalid("seconds", "seconds: \(seconds) is out of range; use 1 to 30")
    }
    let spec = try StoredJSON.value(NodeIntent.self, from: node.specJSON).spec
    guard spec.kind != .address else {
      throw PlatformError(
        .failedPrecondition,
        "node '\(node.name)' is made of servers that run already: Roost can't disturb them; do it where they run",
        origin: .caller)
    }
    guard let handle = await fleet.snapshot(of: node.id)?.handles[instance] else {
      throw PlatformError(.notFound, "instance: '\(instance)' has no process", origin: .caller)
    }
    let driver = world.driver(of: spec.kind)
    guard request.disturbance != .kill else { return await driver.kill(handle) }
    guard await driver.freeze(handle, true) else {
      throw PlatformError(
        .failedPrecondition, "instance: the process of '\(instance)' could not be stopped", origin: .platform)
    }
    asking.yield(
      Order(handle: handle, driver: driver, disturbance: request.disturbance, seconds: seconds))
  }

  private static func disturb(_ order: Order) async {
    let end = ContinuousClock.now + .seconds(order.seconds)
    // Frozen is frozen; slow is frozen for most of each moment.
    while order.disturbance == .slow, ContinuousClock.now < end, !Task.isCancelled {
      _ = await order.driver.freeze(order.handle, true)
      try? await Task.sleep(for: .milliseconds(40))
      _ = await order.driver.freeze(order.handle, false)
      try? await Task.sleep(for: .milliseconds(10))
    }
    try? await Task.sleep(until: end, clock: .continuous)
    _ = await order.driver.freeze(order.handle, false)
  }
}

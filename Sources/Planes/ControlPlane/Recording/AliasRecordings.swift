public import Domain
import Planning
public import Secrets
public import Storage
import Wire

/// Keeps some of aliases' requests with their answers, so that they can be sent again: redacted, encrypted, limited by bytes and age.
public actor AliasRecordings {
  private final class Recording {
    var spec: AliasRecordSpec
    var redactor: Redactor
    let ring: RecordingRing
    let cipher: RecordingCipher
    /// Monotonic nanoseconds: a `TokenBucket`.
    var fullAt: Int64 = 0
    var overBudget = 0
    var tooLarge = 0
    var notRedactable = 0
    var failed = 0

    init(_ spec: AliasRecordSpec, _ ring: RecordingRing, _ cipher: RecordingCipher) {
      self.spec = spec
      redactor = Redactor(spec)
      self.ring = ring
      self.cipher = cipher
    }
  }

  /// Requests of one alias that are recorded in a second: encryption and the disk have others to serve.
  private static let rate = RateLimit(requestsPerSecond: 200, burst: 200)

  let world: NodeWorld
  let fleet: Fleet
  private let vault: SecretVault
  private let folder: String
  private var recordings: [AliasID: Recording] = [:]

  /// - Parameter folder: of all recordings; made when it is first needed.
  public init(world: NodeWorld, fleet: Fleet, vault: SecretVault, folder: String) {
    self.world = world
    self.fleet = fleet
    self.vault = vault
    self.folder = folder
  }

  // MARK: Settings

  /// What was recorded before the last restart; leftovers of aliases that are gone are removed.
  public func recover() async throws(PlatformError) {
    for setting in try await world.store.aliasSettings() where setting.kind == .record {
      let spec = try StoredJSON.value(AliasRecordSpec.self, from: setting.settingsJSON)
      try await open(setting.aliasID, spec)
    }
    for name in RecordingRing.names(in: folder) where AliasID(name).map({ recordings[$0] == nil }) ?? true {
      RecordingRing.remove(folder: folder + "/" + name)
    }
  }

  private func open(_ alias: AliasID, _ spec: AliasRecordSpec) async throws(PlatformError) {
    let (cipher, isNew) = try await vault.recordingCipher(of: alias)
    let ring = try RecordingRing(folder: folder + "/" + alias.text)
    if isNew, ring.count > 0 {
      world.log(.warn, "recorded requests can't be read any more: their key is gone", ["alias": alias.text])
      ring.clear()
    }
    recordings[alias] = Recording(spec, ring, cipher)
  }

  public func set(
    _ alias: AliasRecord, _ request: SetAliasRecordingRequest, by subject: String
  ) async throws(PlatformError) {
    let spec = try RecordingValidation.spec(request)
    try await world.store.setAliasSetting(
      AliasSettingRecord(
        aliasID: alias.id, kind: .record, settingsJSON: try StoredJSON.text(spec), updatedAt: world.now(),
        updatedBy: subject))
    if let recording = recordings[alias.id] {
      recording.spec = spec
      recording.redactor = Redactor(spec)
    } else {
      try await open(alias.id, spec)
    }
    sweep()
    await fleet.aliasesChanged()
  }

  /// Records no more, and forgets what was recorded.
  public func remove(_ alias: AliasID) async throws(PlatformError) {
    try await world.store.removeAliasSetting(alias, .record)
    // First the key: whatever ends the process now, nobody can read the files.
    try await world.store.removeRecordingKey(of: alias)
    forget(alias)
    await fleet.aliasesChanged()
  }

  /// The alias was deleted, and its key with it.
  public func forget(_ alias: AliasID) {
    recordings.removeValue(forKey: alias)?.ring.clear()
    RecordingRing.remove(folder: folder + "/" + alias.text)
  }

  public func spec(of alias: AliasID) -> AliasRecordSpec? { recordings[alias]?.spec }

  public func status(_ alias: AliasRecord) async -> AliasRecordingResource {
    sweep()
    guard let recording = recordings[alias.id] else {
      return AliasRecordingResource(alias: alias.name, state: .off)
    }
    let counts = await fleet.sink.copies(ofAlias: alias.id)?.recorded ?? CopyCounts()
    return AliasRecordingResource(
      alias: alias.name, state: recording.spec.enabled ? .on : .off, spec: recording.spec,
      requests: recording.ring.count, bytes: recording.ring.bytes, oldest: recording.ring.oldest,
      newest: recording.ring.newest,
      dropped: RecordingDrops(
        overBudget: recording.overBudget, tooLarge: counts.tooLarge + recording.tooLarge,
        overMemory: counts.overMemory,
        notCopyable: counts.notCopyable + recording.notRedactable, unanswered: counts.unanswered,
        failed: recording.failed))
  }

  // MARK: Copies

  /// Takes copies until there are no more.
  public func run(_ copies: AsyncStream<CapturedExchange>) async {
    await withDiscardingTaskGroup { group in
      group.addTask {
        while !Task.isCancelled {
          try? await Task.sleep(for: .seconds(30))
          await self.sweep()
        }
      }
      for await copy in copies { keep(copy) }
      group.cancelAll()
    }
  }

  private func keep(_ copy: CapturedExchange) {
    guard let recording = recordings[copy.alias], recording.spec.enabled else { return }
    guard AliasMirrors.bodyBytes(copy) <= recording.spec.maxBodyBytes,
      copy.answer.count <= recording.spec.maxBodyBytes
    else {
      recording.tooLarge += 1
      return
    }
    let now = world.uptime()
    switch TokenBucket.take(
      Self.rate, fullAt: recording.fullAt, now: Int64(now / .nanoseconds(1)))
    {
    case .taken(let fullAt): recording.fullAt = fullAt
    case .refused:
      recording.overBudget += 1
      return
    }
    guard let record = RecordedExchange(copy, recording.redactor) else {
      recording.notRedactable += 1
      return
    }
    do throws(PlatformError) {
      let plain = record.encoded()
      let segment = try recording.ring.segment(for: plain.count, most: recording.spec.maxBytes)
      try recording.ring.append(
        try recording.cipher.seal(plain, segment: segment), at: copy.at, most: recording.spec.maxBytes)
    } catch {
      recording.failed += 1
      if recording.failed == 1 {
        world.log(.error, "requests are not recorded", ["error": error.message])
      }
    }
  }

  /// Lets go of what is too old.
  private func sweep() {
    let now = world.now().microseconds
    for recording in recordings.values {
      let age = Int64(recording.spec.maxAgeSeconds) * 1_000_000
      recording.ring.drop(before: Timestamp(microseconds: now - age))
    }
  }

  /// What can be sent again, the oldest first; the newest `limit` of it.
  func recorded(_ alias: AliasID, limit: Int?) throws(PlatformError) -> (
    records: [RecordedExchange], redactor: Redactor
  ) {
    guard let recording = recordings[alias] else { return ([], Redactor(AliasRecordSpec())) }
    let oldest = world.now().microseconds - Int64(recording.spec.maxAgeSeconds) * 1_000_000
    var sealed: [(segment: Int, bytes: ArraySlice<UInt8>)] = []
    try recording.ring.each { segment, at, bytes in
      if at.microseconds >= oldest { sealed.append((segment, bytes)) }
    }
    let records = sealed.suffix(limit ?? sealed.count).compactMap { entry in
      recording.cipher.open(Array(entry.bytes), segment: entry.segment).flatMap {
        RecordedExchange(decoding: $0)
      }
    }
    return (records, recording.redactor)
  }
}

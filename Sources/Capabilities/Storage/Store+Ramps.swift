public import Domain

extension Store {
  /// The newest ramp of an alias; nil: there never was one.
  public func ramp(of alias: AliasID) throws(PlatformError) -> RampRecord? {
    try database.one("WHERE alias_id = ?", [alias])
  }

  /// Ramps that are running or paused.
  public func rampsUnderWay() throws(PlatformError) -> [RampRecord] {
    try database.select("WHERE ended_at IS NULL ORDER BY alias_id")
  }

  /// Keeps a ramp in place of the one before.
  public func putRamp(_ record: RampRecord) throws(PlatformError) {
    try database.transaction { () throws(PlatformError) in
      guard try database.update(record, key: "alias_id") == false else { return }
      try database.insert(record)
    }
  }

  /// Keeps a line of an alias' journal (a `RampEvent`), and of the former ones so many that there are `most`.
  public func addRampEvent(
    _ eventJSON: String, of alias: AliasID, keeping most: Int
  ) throws(PlatformError) {
    try database.transaction { () throws(PlatformError) in
      try database.execute("INSERT INTO ramp_event (alias_id, event_json) VALUES (?, ?)", [alias, eventJSON])
      try database.execute(
        """
        DELETE FROM ramp_event WHERE alias_id = ?1 AND rowid <= (
          SELECT rowid FROM ramp_event WHERE alias_id = ?1 ORDER BY rowid DESC LIMIT 1 OFFSET ?2)
        """, [alias, most])
    }
  }

  /// The last lines of an alias' journal, the oldest first.
  public func rampEvents(of alias: AliasID) throws(PlatformError) -> [String] {
    try database.rows("SELECT event_json FROM ramp_event WHERE alias_id = ? ORDER BY rowid", [alias]) {
      (row) throws(PlatformError) in try row.next(String.self)
    }
  }
}

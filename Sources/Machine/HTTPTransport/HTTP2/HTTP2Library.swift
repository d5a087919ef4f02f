internal import CNghttp2

/// The stream of a frame: every kind begins with the same head. To take it from the union would copy all of that.
private func streamID(_ frame: UnsafePointer<nghttp2_frame>) -> Int32 {
  UnsafeRawPointer(frame).load(as: nghttp2_frame_hd.self).stream_id
}

/// What every session of a server shares: callbacks and options of the library.
final class HTTP2Library {
  private(set) var callbacks: OpaquePointer?
  private(set) var option: OpaquePointer?
  let memory = SessionMemory()
  /// Room for the header fields of one answer.
  let fields = UnsafeMutablePointer<nghttp2_nv>.allocate(capacity: HTTP2Library.maximumFields)
  let statusText = UnsafeMutablePointer<UInt8>.allocate(capacity: 4)
  static let maximumFields = 128

  init() {
    nghttp2_session_callbacks_new(&callbacks)
    nghttp2_option_new(&option)
    // Windows grow back when the owner has taken the bytes, not when they arrive.
    nghttp2_option_set_no_auto_window_update(option, 1)
    nghttp2_option_set_no_closed_streams(option, 1)
    // Streams that end badly are counted by the session, whoever ended them; this is only a second line.
    nghttp2_option_set_stream_reset_rate_limit(option, 10_000, 1_000)
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks) { _, header, user in
      guard let header, let user else { return HTTP2Session.failure }
      return HTTP2Session.with(user) { $0.beginFrame(header.pointee) }
    }
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks) { _, frame, user in
      guard let frame, let user else { return HTTP2Session.failure }
      return HTTP2Session.with(user) { $0.beginHeaders(frame.pointee) }
    }
    nghttp2_session_callbacks_set_on_header_callback(callbacks) {
      _, frame, name, count, value, size, _, user in
      guard let frame, let name, let value, let user else {
        return HTTP2Session.failure
      }
      return HTTP2Session.with(user) { $0.field(streamID(frame), name, count, value, size) }
    }
    nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks) { _, frame, _, _, _, _, _, user in
      guard let frame, let user else { return HTTP2Session.failure }
      return HTTP2Session.with(user) { $0.invalidField(streamID(frame)) }
    }
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks) { _, frame, user in
      guard let frame, let user else { return HTTP2Session.failure }
      return HTTP2Session.with(user) { $0.received(frame.pointee) }
    }
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks) { _, _, id, bytes, count, user in
      guard let bytes, let user else { return HTTP2Session.failure }
      return HTTP2Session.with(user) { $0.data(id, bytes, count) }
    }
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks) { _, id, code, user in
      guard let user else { return HTTP2Session.failure }
      return HTTP2Session.with(user) { $0.streamClosed(id, code) }
    }
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks) { _, frame, user in
      guard let frame, let user else { return HTTP2Session.failure }
      return HTTP2Session.with(user) { $0.sent(frame.pointee) }
    }
    nghttp2_session_callbacks_set_send_data_callback(callbacks) { _, frame, header, count, source, user in
      guard let frame, let header, let source, let user else {
        return HTTP2Session.failure
      }
      return HTTP2Session.with(user) { $0.sendData(frame.pointee, header, count, source.pointee) }
    }
  }

  deinit {
    nghttp2_session_callbacks_del(callbacks)
    nghttp2_option_del(option)
    fields.deallocate()
    statusText.deallocate()
  }
}

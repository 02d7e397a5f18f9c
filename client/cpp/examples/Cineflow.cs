// cineflow's C face for C#: the structs and functions of cineflow_client.h, under the same names.
//
// Compile it with your program, with /unsafe. Call Cineflow.Check() before anything else. A struct
// that differs from the library's would be read wrongly, and nothing would say so.
using System;
using System.Runtime.InteropServices;
using System.Text;

public static unsafe class Cineflow
{
    // With the version in its name, so that a library with other structs is not found.
    const string Library = "libcineflow_client.so.0.1";
    public const uint Version = 0x000100;  // of cineflow_client.h

    public const int Ok = 0, StreamBusy = 4;  // cfc_code; cfc_code_name has all names
    public const int Uint8 = 0, Float32 = 5;  // cfc_dtype

    [StructLayout(LayoutKind.Sequential)]
    public struct Error
    {
        public int Code;
        public fixed byte Wanted[512];
        public fixed byte Got[512];
        public fixed byte Remedy[512];

        public override string ToString()
        {
            fixed (byte* wanted = Wanted, got = Got, remedy = Remedy)
                return Text(cfc_code_name(Code)) + ": wanted " + Text((IntPtr)wanted) + "; got "
                    + Text((IntPtr)got) + ". " + Text((IntPtr)remedy);
        }
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct Tensor
    {
        public void* Data;
        public int Dtype, Rank;
        public fixed long Shape[8];
        public fixed long Strides[8];
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct Array
    {
        public byte* Name;
        public int Dtype, Rank;
        public fixed long Shape[8];
        public void* Data;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct ClientOptions
    {
        public double TimeoutS;
        public int Tls;
        public byte* RootCertificates;
        public byte* CertificateChain;
        public byte* PrivateKey;
        public byte* Secure;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct ServerTimes
    {
        public ulong Requests;
        public double QueueS, ModelS;
    }

    // From a thread of the stream. An exception that leaves it ends the program. Keep a reference to
    // the delegate as long as the stream lives.
    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    public delegate void OnOutcome(IntPtr user, ulong frame, int code, IntPtr result, Error* error);

    [StructLayout(LayoutKind.Sequential)]
    public struct StreamOptions
    {
        public int Rank;
        public fixed long Size[3];
        public int Dtype, Transport, Slots;
        public double TimeoutS, ResumeS;
        public int Policy;
        public double DeadlineMs;
        public int Line;
        public void* State;
        public UIntPtr StateBytes;
        public int SpacingCount;
        public fixed double SpacingMm[3];
        public byte* Readings;
        public double Rate, BudgetMs;
        public byte* Traceparent;
        public IntPtr OnOutcome;  // Marshal.GetFunctionPointerForDelegate
        public void* User;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct FrameInfo
    {
        public int HasIndex;
        public long Index;
        public int Beat, HasTime;
        public double TimeMs;
        public Array* Given;
        public UIntPtr GivenCount;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct Slot
    {
        public void* Data;
        public UIntPtr RowStride, SliceStride;
        public void* Inside;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct ResultInfo
    {
        public long Current, Previous, Reference, Described;
        public int Repeat;
        public long GapFrames;
        public int ReReferenced, HasQuality;
        public double Quality, ExpectedErrorPx;
        public double Correlation, PhotometricPx, Deformation;
        public double Appearance, TemporalPx, ForwardBackwardPx;
        public double FoldingPercent;
        public int HasBeat;
        public long BeatNumber, BeatDelayFrames;
        public int BeatCause, BeatRhythm;
        public double BeatDriftPx;
        public double LatencyMs;
        public int HasCaptured;
        public double CapturedMs;
        public double SentS, ReceivedS;
        public double StartedS, ComputedS;
        public double OffsetS, OffsetErrorS;
        public int HasDeadline, Holds;
        public double ExpectedMs, Load;
        public long LateFrames;
    }

    [DllImport(Library)] public static extern uint cfc_version();
    [DllImport(Library)] public static extern int cfc_fits(uint version);
    [DllImport(Library)] public static extern IntPtr cfc_code_name(int code);
    [DllImport(Library)] public static extern int cfc_ends_stream(int code);
    [DllImport(Library)] public static extern UIntPtr cfc_dtype_bytes(int dtype);

    [DllImport(Library)] public static extern int cfc_client_open(byte[] url, ClientOptions* options, out IntPtr client, out Error error);
    [DllImport(Library)] public static extern void cfc_client_close(IntPtr client);
    [DllImport(Library)] public static extern int cfc_client_is_ready(IntPtr client);
    [DllImport(Library)] public static extern int cfc_client_server_version(IntPtr client, byte[] text, UIntPtr room, out UIntPtr needed, out Error error);
    [DllImport(Library)] public static extern int cfc_client_spec(IntPtr client, byte[] model, byte[] text, UIntPtr room, out UIntPtr needed, out Error error);
    [DllImport(Library)] public static extern int cfc_client_untrained(IntPtr client, byte[] model, out int untrained, out Error error);
    [DllImport(Library)] public static extern int cfc_client_times(IntPtr client, byte[] model, out ServerTimes times, out Error error);
    [DllImport(Library)] public static extern int cfc_client_models(IntPtr client, byte[] text, UIntPtr room, out UIntPtr needed, out Error error);
    [DllImport(Library)] public static extern int cfc_client_aliases(IntPtr client, byte[] text, UIntPtr room, out UIntPtr needed, out Error error);
    [DllImport(Library)] public static extern int cfc_client_load(IntPtr client, byte[] model, out Error error);
    [DllImport(Library)] public static extern int cfc_client_unload(IntPtr client, byte[] model, out Error error);
    [DllImport(Library)] public static extern int cfc_client_rollback(IntPtr client, byte[] alias, byte[] text, UIntPtr room, out UIntPtr needed, out Error error);
    [DllImport(Library)] public static extern int cfc_client_call(IntPtr client, byte[] model, Array* arrays, UIntPtr count, out IntPtr result, out Error error);

    [DllImport(Library)] public static extern void cfc_stream_options_init(out StreamOptions options);
    [DllImport(Library)] public static extern int cfc_stream_open(IntPtr client, byte[] model, ref StreamOptions options, out IntPtr stream, out Error error);
    [DllImport(Library)] public static extern int cfc_stream_another(IntPtr stream, long* size, double* spacing_mm, out IntPtr another, out Error error);
    [DllImport(Library)] public static extern void cfc_stream_close(IntPtr stream);
    [DllImport(Library)] public static extern int cfc_acquire(IntPtr stream, double wait_s, out Slot slot);
    [DllImport(Library)] public static extern int cfc_acquire_as(IntPtr stream, double wait_s, int dtype, out Slot slot);
    [DllImport(Library)] public static extern int cfc_submit(ref Slot slot, FrameInfo* info, out ulong frame);
    [DllImport(Library)] public static extern void cfc_give_back(ref Slot slot);
    [DllImport(Library)] public static extern int cfc_next(IntPtr stream, double wait_s, out ulong frame, out IntPtr result, out Error error);
    [DllImport(Library)] public static extern int cfc_wait(IntPtr stream, ulong frame, out IntPtr result, out Error error);
    [DllImport(Library)] public static extern int cfc_push(IntPtr stream, void* pixels, int dtype, FrameInfo* info, out IntPtr result, out Error error);
    [DllImport(Library)] public static extern void cfc_stream_freeze(IntPtr stream);
    [DllImport(Library)] public static extern void cfc_stream_unfreeze(IntPtr stream);
    [DllImport(Library)] public static extern int cfc_stream_untrained(IntPtr stream);
    [DllImport(Library)] public static extern IntPtr cfc_stream_served_name(IntPtr stream);
    [DllImport(Library)] public static extern ulong cfc_stream_sequence_id(IntPtr stream);
    [DllImport(Library)] public static extern ulong cfc_stream_late_frames(IntPtr stream);
    [DllImport(Library)] public static extern ulong cfc_stream_resumed(IntPtr stream);
    [DllImport(Library)] public static extern ulong cfc_stream_dropped(IntPtr stream);
    [DllImport(Library)] public static extern ulong cfc_stream_unread(IntPtr stream);
    [DllImport(Library)] public static extern int cfc_stream_transport(IntPtr stream);
    [DllImport(Library)] public static extern int cfc_stream_direct(IntPtr stream);
    [DllImport(Library)] public static extern int cfc_stream_transport_reason(IntPtr stream, byte[] text, UIntPtr room, out UIntPtr needed, out Error error);
    [DllImport(Library)] public static extern int cfc_stream_error(IntPtr stream, out Error error);

    [DllImport(Library)] public static extern void cfc_result_info_of(IntPtr result, out ResultInfo info);
    [DllImport(Library)] public static extern void cfc_result_tensor(IntPtr result, byte[] name, out Tensor tensor);
    [DllImport(Library)] public static extern UIntPtr cfc_result_tensor_count(IntPtr result);
    [DllImport(Library)] public static extern void cfc_result_tensor_at(IntPtr result, UIntPtr position, out IntPtr name, out Tensor tensor);
    [DllImport(Library)] public static extern int cfc_result_absent(IntPtr result, byte[] name, byte[] text, UIntPtr room, out UIntPtr needed, out Error error);
    [DllImport(Library)] public static extern IntPtr cfc_result_unit(IntPtr result);
    [DllImport(Library)] public static extern IntPtr cfc_result_engine(IntPtr result);
    [DllImport(Library)] public static extern void cfc_result_free(IntPtr result);

    // A text for the library: UTF-8 with a closing 0.
    public static byte[] Utf8(string text) { return Encoding.UTF8.GetBytes(text + "\0"); }

    // A text of the library.
    public static string Text(IntPtr text)
    {
        int size = 0;
        while (Marshal.ReadByte(text, size) != 0) ++size;
        var bytes = new byte[size];
        Marshal.Copy(text, bytes, 0, size);
        return Encoding.UTF8.GetString(bytes);
    }

    public static void Check()
    {
        if (cfc_fits(Version) == 0)
            throw new InvalidOperationException("libcineflow_client of version "
                + cfc_version().ToString("x6") + " has other structs than this file, of "
                + Version.ToString("x6"));
    }
}

# Only what tunerd's recipes ask for, as in board/image/ffmpeg, whose lists these are; tools/lint/yocto compares them.
# OpenSSL 3 has a licence that version 3 of the GPL accepts, so nothing here is "nonfree".

TUNERD_SRT = "${@bb.utils.contains('BBFILE_COLLECTIONS', 'multimedia-layer', 'srt', '', d)}"
PACKAGECONFIG:tunerd-box = "avcodec avdevice avfilter avformat gpl openssl swresample swscale x264 zlib ${TUNERD_SRT}"
USE_NONFREE:tunerd-box = ""
LICENSE:tunerd-box = "GPL-3.0-or-later & ISC & MIT & BSD-2-Clause & BSD-3-Clause & IJG"
LICENSE:${PN}:tunerd-box = "GPL-3.0-or-later"
LICENSE:libavcodec:tunerd-box = "GPL-3.0-or-later"
LICENSE:libavdevice:tunerd-box = "GPL-3.0-or-later"
LICENSE:libavfilter:tunerd-box = "GPL-3.0-or-later"
LICENSE:libavformat:tunerd-box = "GPL-3.0-or-later"
LICENSE:libavutil:tunerd-box = "GPL-3.0-or-later"
LICENSE:libswresample:tunerd-box = "GPL-3.0-or-later"
LICENSE:libswscale:tunerd-box = "GPL-3.0-or-later"

TUNERD_PROTOCOLS = " \
    pipe fd http https httpproxy tcp tls crypto udp rtp rtmp rtmps libsrt \
"
TUNERD_DEMUXERS = " \
    mpegts mpegps hls mov matroska flv aac mp3 ac3 eac3 webvtt rtp rtsp sdp rawvideo \
"
TUNERD_MUXERS = " \
    mpegts rawvideo pcm_s16le mjpeg image2pipe null \
"
TUNERD_DECODERS = " \
    h264 hevc mpeg1video mpeg2video mpeg4 vc1 vp8 vp9 mjpeg rawvideo wrapped_avframe h264_v4l2m2m aac aac_latm ac3 \
    eac3 mp1 mp1float mp2 mp2float mp3 mp3float dca opus vorbis flac pcm_s16le pcm_s16be pcm_mulaw pcm_alaw \
"
TUNERD_ENCODERS = " \
    libx264 h264_v4l2m2m aac ac3 eac3 mp2 mjpeg rawvideo wrapped_avframe pcm_s16le \
"
TUNERD_PARSERS = " \
    h264 hevc mpegvideo mpeg4video vc1 vp8 vp9 av1 mjpeg aac aac_latm ac3 mpegaudio dca opus vorbis flac dvbsub \
"
TUNERD_BSFS = " \
    h264_mp4toannexb hevc_mp4toannexb aac_adtstoasc extract_extradata null vp9_superframe_split \
"
TUNERD_FILTERS = " \
    color smptehdbars gradients testsrc2 sine anullsrc abuffer buffer abuffersink buffersink format aformat null \
    anull loop setpts asetpts overlay drawbox drawgrid scroll crop split asplit join vstack scale fps yadif setsar tpad \
    trim atrim copy aresample volume amix aloop apad rotate transpose hflip vflip \
"

def tunerd_enable(kind, d):
    names = d.getVar('TUNERD_%sS' % kind.upper()).split()
    if not d.getVar('TUNERD_SRT'):
        names = [name for name in names if name != 'libsrt']
    return '--enable-%s=%s' % (kind, ','.join(names))

EXTRA_FFCONF:tunerd-box = " \
    --disable-everything --disable-autodetect --disable-doc --disable-debug --disable-ffplay --enable-small \
    --enable-version3 --enable-v4l2-m2m --enable-indev=lavfi \
    ${@' '.join(tunerd_enable(kind, d) for kind in 'protocol demuxer muxer decoder encoder parser bsf filter'.split())} \
"
